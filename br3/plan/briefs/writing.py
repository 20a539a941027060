"""A plan as TOML that a person likes to read: tables in the order of docs/PLAN.md, long texts as blocks, remarks.

The data is what ``tomllib`` would read from the text again.
"""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from br3.plan.problems import KeyPath

Data = dict[str, Any]

_ORDER: dict[str, tuple[str, ...]] = {
    "": (
        "plan",
        "setup",
        "defaults",
        "verify",
        "landing",
        "release",
        "alerts",
        "estimate",
        "hooks",
        "build",
        "criterion",
    ),
    "plan": ("name", "base", "jobs", "budget_usd"),
    "setup": ("run", "copy"),
    "defaults": ("agent", "model"),
    "verify": ("run", "min_passed", "min_coverage", "artifacts"),
    "release": ("tag", "message", "push", "remote"),
    "build": tuple(
        "id title branch worktree message strategy needs after owns shared agent command model budget_usd setup "
        "deliverables prompt prompt_file task verify".split()
    ),
    "task": ("id", "title", "minutes", "deliverables", "prompt"),
    "criterion": ("name", "run", "sql", "ask"),
}
_WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Of signs that could steer the terminal of whoever looks at the file."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class Sketch:
    """What is to be written. ``remarks``: above the key or table of that path; ``head``, ``tail``: around all."""

    data: Data
    remarks: dict[KeyPath, list[str]] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    def remark(self, path: KeyPath, text: str) -> None:
        """Say something above a key or table."""
        self.remarks.setdefault(path, []).append(text)


def toml(sketch: Sketch) -> str:
    """The text of the file."""
    out: list[str] = [*_comment(sketch.head)]
    for key in _sorted({**sketch.data, **{str(path[0]): None for path in sketch.remarks if len(path) == 1}}, ""):
        value = sketch.data.get(key)
        if value is None:  # only a remark on a table that is not there
            out += [*([""] if out else []), *_comment(sketch.remarks[(key,)])]
            continue
        if isinstance(value, list):
            for at, table in enumerate(value):
                _table(out, sketch, f"[[{key}]]", key, table, (key, at))
        else:
            _table(out, sketch, f"[{key}]", key, value, (key,))
    if sketch.tail:
        out += ["", *_comment(sketch.tail)]
    return "\n".join(out).strip("\n") + "\n"


def _table(out: list[str], sketch: Sketch, header: str, kind: str, table: Mapping[str, Any], path: KeyPath) -> None:
    # Tasks and a build's verification stand below it without a blank line before the first of their keys.
    out += [""] if out else []
    out += [*_comment(sketch.remarks.get(path, ())), header]
    inner = [key for key in _sorted(table, kind) if isinstance(table[key], dict) or _is_tables(table[key])]
    for key in _sorted(table, kind):
        if key not in inner:
            out += _comment(sketch.remarks.get((*path, key), ()))
            out += _pair(key, table[key])
    prefix = header.strip("[]")
    for key in inner:
        if isinstance(table[key], dict):
            _table(out, sketch, f"[{prefix}.{key}]", key, table[key], (*path, key))
        else:
            for at, one in enumerate(table[key]):
                _table(out, sketch, f"[[{prefix}.{key}]]", key, one, (*path, key, at))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _sorted(table: Mapping[str, Any], kind: str) -> list[str]:
    order = list(_ORDER.get(kind, ()))
    return sorted(table, key=lambda key: order.index(key) if key in order else len(order))


def _pair(key: str, value: Any) -> list[str]:
    name = key if _BARE.fullmatch(key) else quoted(key)
    if isinstance(value, str) and "\n" in value:
        return f"{name} = {block(value)}".split("\n")
    if isinstance(value, list):
        return _list(name, value)
    return [f"{name} = {scalar(value)}"]


def _list(name: str, values: Sequence[Any]) -> list[str]:
    flat = f"{name} = [{', '.join(map(scalar, values))}]"
    if len(flat) <= _WIDTH and not any(isinstance(v, str) and "\n" in v for v in values):
        return [flat]
    return [f"{name} = [", *(f"  {scalar(value)}," for value in values), "]"]


def scalar(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value != int(value) or abs(value) >= 1e15 else str(int(value))
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if '"' in text and "'" not in text and not _CONTROL.search(text) and "\n" not in text:
        return f"'{text}'"
    return quoted(text)


def quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's, which asks for one more: DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def block(text: str) -> str:
    """A text of several lines, as it stands where TOML allows that, else with escapes."""
    if "'''" not in text and not text.endswith("'") and not _CONTROL.search(text):
        return f"'''\n{text}'''"
    escaped = text.replace("\\", "\\\\").replace('"""', '""\\"')
    escaped = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)
    if escaped.endswith('"'):
        escaped = f'{escaped[:-1]}\\"'
    return f'"""\n{escaped}"""'


def _comment(texts: Sequence[str]) -> list[str]:
    out = []
    for text in texts:
        if not text:
            out.append("#")
            continue
        for line in text.split("\n"):
            safe = "".join("\ufffd" if unicodedata.category(c) in _UNSAFE else c for c in line.replace("\t", "    "))
            out += textwrap.wrap(
                safe,
                118,
                initial_indent="# ",
                subsequent_indent="#   ",
                break_long_words=False,
                break_on_hyphens=False,
                replace_whitespace=False,
                drop_whitespace=True,
            ) or ["#"]
    return out
