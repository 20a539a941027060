"""Files that hold the version: where it stands in each, whether they agree, and their bytes with another in its place.

An entry of ``[release] version_files`` is a path, or ``path:regex``. A path alone is enough for files of known form:

    pyproject.toml       [project] version, else [tool.poetry] version
    package.json         "version"
    package-lock.json    "version" and that of the package itself
    Cargo.toml           [package] version, else [workspace.package] version
    *.py                 __version__ = "…", on a line of its own
    other                the file holds the version and nothing else

``regex`` is Python's, with one group, which is the version; ^ and $ are the ends of lines. It must be found once.
Python's own files get the form of PEP 440, others that of SemVer. Nothing but the version changes in a file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from br3.errors import UsageError
from br3.release.versions import Version, parse_either, pep440

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a version stands in a file: from ``start`` to ``end``, in characters of its text."""

    path: str
    start: int
    end: int
    text: str


def path_of(entry: str) -> str:
    """The path that an entry names."""
    return entry.partition(":")[0]


def decoded(content: bytes) -> str:
    """A file's bytes as text from which the same bytes can be had again, whatever they are."""
    return content.decode("utf-8", "surrogateescape")


def find(entry: str, content: bytes) -> list[Place]:
    """Where the version stands in the file of ``entry``; UsageError when it is not there exactly once."""
    path, _, pattern = entry.partition(":")
    text = decoded(content)
    if pattern:
        held = [found for found in re.finditer(pattern, text, re.MULTILINE) if found[1] is not None]
        # Python's ``$`` does not know that a line may end in CRLF.
        spans = [(found.start(1), found.end(1) - found[1].endswith("\r")) for found in held]
        return [_only(entry, text, spans, f"the expression {pattern!r}")]
    name = PurePosixPath(path).name
    if name in _KNOWN:
        parse, places = _KNOWN[name]
        return [_by_keys(entry, text, parse, alternatives) for alternatives in places]
    if name.endswith(".py"):
        spans = [found.span(2) for found in _DUNDER.finditer(text)]
        return [_only(entry, text, spans, "a line __version__ = …")]
    whole = re.fullmatch(r"\s*(\S+)\s*", text)
    if whole is None:
        raise UsageError(
            f"{path} holds more (or less) than a version, so nobody knows where in it that is",
            hint=f"[release] version_files: say it as '{path}:version is (.+)', with an expression of your own",
        )
    return [Place(path, *whole.span(1), whole[1])]


def agreed(places: Sequence[Place]) -> Version | None:
    """The one version that all places hold; None when there are none. UsageError when they do not agree."""
    held: dict[str, list[Place]] = {}
    versions = []
    for place in places:
        version = parse_either(place.text)
        if version is None:
            raise UsageError(
                f"{place.path} holds {place.text!r} where its version should be",
                hint="write there a version such as 1.2.3, then commit it",
            )
        versions.append(version)
        held.setdefault(pep440(version) or str(version), []).append(place)
    if len(held) > 1:
        told = "; ".join(f"{', '.join(p.path for p in same)}: {same[0].text}" for same in held.values())
        raise UsageError(f"the version files do not agree: {told}", hint="make them one version, and commit that")
    return versions[0] if versions else None


def told_apart(places: Sequence[Place]) -> list[Place]:
    """The places of one file, each once, whichever entries name it. UsageError when two of them overlap."""
    found = sorted(dict.fromkeys(places), key=lambda place: place.start)
    for one, other in pairwise(found):
        if other.start < one.end:
            raise UsageError(
                f"{one.path}: two entries find the version at the same place, once as {one.text}, once as {other.text}",
                hint="[release] version_files: leave one of them out",
            )
    return found


def form_for(path: str, version: Version) -> str:
    """The version as the file writes it; UsageError when it cannot be written there."""
    name = PurePosixPath(path).name
    if name not in ("pyproject.toml", "setup.cfg") and not name.endswith(".py"):
        return str(version)
    form = pep440(version)
    if form is None:
        raise UsageError(
            f"{version} cannot be written in {path}: Python packages have no such version (PEP 440)",
            hint="use alpha, beta, rc or dev and a number: 1.2.0-alpha.1 is written 1.2.0a1 there",
        )
    return form


def rewritten(content: bytes, places: Sequence[Place], version: Version) -> bytes:
    """The bytes of one file with ``version`` at its ``places``; all others as they are."""
    text = decoded(content)
    for place in reversed(told_apart(places)):
        text = text[: place.start] + form_for(place.path, version) + text[place.end :]
    return text.encode("utf-8", "surrogateescape")


def _only(entry: str, text: str, spans: Sequence[tuple[int, int]], what: str) -> Place:
    path = path_of(entry)
    if len(spans) != 1:
        count = "is not in it" if not spans else f"is in it {len(spans)} times"
        raise UsageError(f"{path}: {what} {count}; it must be there once", hint="[release] version_files in br3.toml")
    start, end = spans[0]
    return Place(path, start, end, text[start:end])


_DUNDER = re.compile(r"""^__version__(?:\s*:\s*[\w.\[\]]+)?\s*=\s*(["'])([^"'\n]*)\1""", re.MULTILINE)
_IN_TOML = re.compile(r"""version\s*=\s*(["'])([^"'\n]*)\1""")
_IN_JSON = re.compile(r"""(")version"\s*:\s*"([^"\n\\]*)\"""")

_KNOWN: dict[str, tuple[Callable[[str], Any], tuple[tuple[Keys, ...], ...]]] = {
    "pyproject.toml": (tomllib.loads, ((("project", "version"), ("tool", "poetry", "version")),)),
    "Cargo.toml": (tomllib.loads, ((("package", "version"), ("workspace", "package", "version")),)),
    "package.json": (json.loads, ((("version",),),)),
    "package-lock.json": (json.loads, ((("version",),), (("packages", "", "version"),))),
}


def _by_keys(entry: str, text: str, parse: Callable[[str], Any], alternatives: Sequence[Keys]) -> Place:
    """Where the value of one of the keys stands, found by what changing a candidate does to the parsed file."""
    path = path_of(entry)
    try:
        data = parse(text)
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="mend it, and commit that") from error
    keys = next((keys for keys in alternatives if isinstance(_value(data, keys), str)), None)
    wanted = " or ".join(_written(keys, parse) for keys in alternatives)
    if keys is None:
        more = ": its version is dynamic" if "version" in (_value(data, ("project", "dynamic")) or ()) else ""
        raise UsageError(
            f"{path} has no {wanted}{more}",
            hint="[release] version_files: name the file that holds the version, or path:regex",
        )
    pattern = _IN_JSON if parse is json.loads else _IN_TOML
    spans = [found.span(2) for found in pattern.finditer(text)]
    mine = [span for span in spans if _changes_only(parse, text, span, data, keys)]
    return _only(entry, text, mine, wanted)


def _changes_only(parse: Callable[[str], Any], text: str, span: tuple[int, int], data: Any, keys: Keys) -> bool:
    other = "0.0.0-elsewhere"
    try:
        changed = parse(text[: span[0]] + other + text[span[1] :])
    except ValueError:
        return False
    return bool(_value(changed, keys) == other and _with(data, keys, other) == changed)


def _value(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _with(data: Mapping[str, Any], keys: Keys, value: str) -> dict[str, Any]:
    first, *rest = keys
    return {**data, first: _with(data[first], tuple(rest), value) if rest else value}


def _written(keys: Keys, parse: Callable[[str], Any]) -> str:
    if parse is json.loads:
        return ".".join(f'"{key}"' for key in keys)
    return f"[{'.'.join(keys[:-1])}] {keys[-1]}"
