"""docs/API_REFERENCE.md is what the docstrings of the public names say (run this file to write it).

python tests/unit/test_docs_api.py
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from types import ModuleType
from typing import Any

import pytest

import br3
from br3 import errors
from tests.pages import DOCS, generated, read, write

PAGE = DOCS / "API_REFERENCE.md"


def names() -> dict[str, Any]:
    """The public names of the package, in the order of ``__all__``, and the errors."""
    public = {name: getattr(br3, name) for name in getattr(br3, "__all__", ())}
    kinds = {f"errors.{name}": kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    return {**public, **kinds}


def said(thing: Any) -> str:
    """A docstring in Markdown; empty where there is none of its own."""
    own = thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__
    text = inspect.cleandoc(own or "")
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text.replace("``", "`")


def call(name: str, function: Any) -> str:
    """How a function is called, on one line if it fits."""
    signature = inspect.signature(function)
    parts = list(parameters(signature))
    back = signature.return_annotation
    arrow = "" if back in (inspect.Signature.empty, None, "None") else f" -> {told(back)}"
    line = f"{name}({', '.join(parts)}){arrow}"
    return line if len(line) <= 110 else "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){arrow}"])


def parameters(signature: inspect.Signature) -> Iterator[str]:
    marked = False
    for one in signature.parameters.values():
        if one.name in ("self", "cls"):
            continue
        if one.kind is one.KEYWORD_ONLY and not marked:
            yield "*"
        marked = marked or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        typed = "" if one.annotation is one.empty else f": {told(one.annotation)}"
        given = "" if one.default is one.empty else f" = {one.default!r}"
        yield f"{stars}{one.name}{typed}{given}"


def told(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """What a class has that is public, in the order of its source."""
    for name, thing in vars(kind).items():
        if not name.startswith("_") and name not in getattr(kind, "__dataclass_fields__", {}):
            yield name, thing


def values(kind: type) -> Iterator[tuple[str, str, str]]:
    """The fields and properties of a class: name, type, what is said of it."""
    for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
        if not field.name.startswith("_"):
            yield field.name, told(field.type), ""
    for name, thing in members(kind):
        if isinstance(thing, (property, cached_property)):
            getter = thing.fget if isinstance(thing, property) else thing.func
            assert getter is not None
            yield name, told(inspect.signature(getter).return_annotation), said(getter)


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, thing in members(kind):
        function = thing.__func__ if isinstance(thing, (staticmethod, classmethod)) else thing
        if inspect.isfunction(function):
            yield name, function


def class_text(name: str, kind: type, level: str = "##") -> str:
    text = [f"{level} {name}"]
    if issubclass(kind, Exception):
        text.append(f"Exit code {getattr(kind, 'exit_code', 1)}.")
    elif not dataclasses.is_dataclass(kind) and "__init__" in vars(kind):
        text.append(f"```python\n{call(name, vars(kind)['__init__'])}\n```")
    text.append(said(kind))
    lines = [f"- `{value}`: `{shape}`" + (f". {meaning}" if meaning else "") for value, shape, meaning in values(kind)]
    text.append("\n".join(lines))
    for method, function in methods(kind):
        text += [f"{level}# {name}.{method}", f"```python\n{call(method, function)}\n```", said(function)]
    return "\n\n".join(part for part in text if part)


def one_text(name: str, thing: Any) -> str:
    if isinstance(thing, type):
        return class_text(name, thing)
    return "\n\n".join(part for part in (f"## {name}", f"```python\n{call(name, thing)}\n```", said(thing)) if part)


def names_text() -> str:
    return "\n\n".join(one_text(name, thing) for name, thing in names().items())


def imported(module: ModuleType) -> dict[str, Any]:
    """The classes of this package that a module knows by name, those that it imports for types alone included."""
    found = {name: thing for name, thing in vars(module).items() if isinstance(thing, type)}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("br3."):
            for alias in node.names:
                found[alias.asname or alias.name] = getattr(
                    importlib.import_module(node.module or ""), alias.name, None
                )
    return {name: thing for name, thing in found.items() if isinstance(thing, type) and thing.__module__[:4] == "br3."}


def shapes() -> dict[str, type]:
    """The classes that public names give and take, and are no public names themselves."""
    public, found = names(), {}
    for thing in public.values():
        shown = [call("", thing)] if inspect.isfunction(thing) else [shape for _, shape, _ in values(thing)]
        shown += [call("", method) for _, method in methods(thing)] if isinstance(thing, type) else []
        known = imported(sys.modules[thing.__module__])
        found |= {word: known[word] for line in shown for word in re.findall(r"\w+", line) if word in known}
    return {name: kind for name, kind in sorted(found.items()) if kind not in public.values()}


def shapes_text() -> str:
    return "\n\n".join(class_text(name, kind, "###") for name, kind in shapes().items())


def as_generated() -> str:
    return generated(read(PAGE), {"names": names_text, "shapes": shapes_text})


def test_the_page_is_what_the_docstrings_say() -> None:
    assert read(PAGE) == as_generated(), "python tests/unit/test_docs_api.py"


@pytest.mark.parametrize("name", names())
def test_every_public_name_and_method_is_explained(name: str) -> None:
    thing = names()[name]
    assert said(thing), name
    for method, function in methods(thing) if isinstance(thing, type) else ():
        assert said(function), f"{name}.{method}"


if __name__ == "__main__":
    write(PAGE, as_generated())
