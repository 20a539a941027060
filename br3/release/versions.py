"""Versions: SemVer 2.0.0, which one follows another, and the form that Python packages give them (PEP 440)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from br3.plan.semver import SEMVER

Level = Literal["major", "minor", "patch", "prerelease"]
Change = Literal["breaking", "feature", "fix"]

CHANGES: tuple[Change, ...] = ("fix", "feature", "breaking")
"""What a commit may change, the least first."""

# https://packaging.python.org/en/latest/specifications/version-specifiers/, normalised; without epoch and post-release
_PEP440 = re.compile(
    r"([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:(a|b|rc)([0-9]+)|\.(dev)([0-9]+))?(?:\+([a-z0-9]+(?:\.[a-z0-9]+)*))?"
)
_TO_PEP440 = {"a": "a", "alpha": "a", "b": "b", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc", "rc": "rc"}
_FROM_PEP440 = {"a": "alpha", "b": "beta", "rc": "rc", "dev": "dev"}


@dataclass(frozen=True)
class Version:
    """A version by SemVer. ``pre`` and ``build`` are their dotted identifiers."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    build: tuple[str, ...] = ()

    def __str__(self) -> str:
        pre = f"-{'.'.join(self.pre)}" if self.pre else ""
        build = f"+{'.'.join(self.build)}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    @property
    def core(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    @property
    def precedence(self) -> tuple[object, ...]:
        """What versions are compared by (SemVer §11); build metadata does not count."""
        pre = tuple((0, int(label), "") if label.isdigit() else (1, 0, label) for label in self.pre)
        return (self.core, not self.pre, pre)


def parse(text: str) -> Version | None:
    """The version that ``text`` is, by SemVer; None when it is none."""
    found = re.fullmatch(SEMVER, text)
    if found is None:
        return None
    major, minor, patch, pre, build = found.groups()
    return Version(int(major), int(minor), int(patch), _labels(pre), _labels(build))


def parse_either(text: str) -> Version | None:
    """The version that ``text`` is, by SemVer or in the normal form of PEP 440; None when it is none."""
    version = parse(text)
    found = _PEP440.fullmatch(text)
    if version is not None or found is None:
        return version
    major, minor, patch, label, number, dev, dev_number, local = found.groups()
    stage, count = label or dev, number or dev_number
    pre = (_FROM_PEP440[stage], str(int(count))) if stage else ()
    return Version(int(major), int(minor or 0), int(patch or 0), pre, _labels(local))


def pep440(version: Version) -> str | None:
    """The version in the normal form of PEP 440, ``3.1.0a4`` for ``3.1.0-alpha.4``; None when it has none there."""
    pre = ""
    if version.pre:
        stage = re.fullmatch(r"([a-z]+)\.?([0-9]*)", ".".join(version.pre).lower())
        if stage is None or stage[1] not in {*_TO_PEP440, "dev"}:
            return None
        number = int(stage[2] or 0)
        pre = f".dev{number}" if stage[1] == "dev" else f"{_TO_PEP440[stage[1]]}{number}"
    parts = [part for label in version.build for part in label.lower().split("-")]
    if not all(parts):
        return None
    local = ".".join(str(int(part)) if part.isdigit() else part for part in parts)
    return f"{version.major}.{version.minor}.{version.patch}{pre}" + (f"+{local}" if local else "")


def bumped(version: Version, level: Level) -> Version | None:
    """The next version. A prerelease of the version that is asked for becomes it: 2.0.0-rc.1 by major is 2.0.0.

    None when ``prerelease`` is asked of one that is none: nothing says how it should be called.
    """
    major, minor, patch = version.core
    if level == "prerelease":
        return Version(major, minor, patch, _next_labels(version.pre)) if version.pre else None
    if level == "major":
        return Version(major if version.pre and not minor and not patch else major + 1, 0, 0)
    if level == "minor":
        return Version(major, minor if version.pre and not patch else minor + 1, 0)
    return Version(major, minor, patch if version.pre else patch + 1)


def following(last: Version, final: Version | None, change: Change, since_final: Change) -> Version:
    """The version after ``last`` by what has changed: since it, and since ``final``, the last that was no prerelease.

    A prerelease is followed by the next one of its kind, of a higher version when what changed asks for that.
    """
    if not last.pre:
        return _by_change(last, change)
    if final is not None:
        wanted = _by_change(final, since_final)
        if wanted.core > last.core:
            kind = last.pre[:-1] if last.pre[-1].isdigit() else last.pre
            return Version(*wanted.core, (*kind, "1"))
    return Version(*last.core, _next_labels(last.pre))


def _by_change(version: Version, change: Change) -> Version:
    major, minor, patch = version.core
    if change == "breaking" and major:
        return Version(major + 1, 0, 0)
    if change == "fix":
        return Version(major, minor, patch + 1)
    return Version(major, minor + 1, 0)


def _next_labels(pre: tuple[str, ...]) -> tuple[str, ...]:
    """``alpha.4`` → ``alpha.5``; ``alpha`` → ``alpha.1``."""
    if pre[-1].isdigit():
        return (*pre[:-1], str(int(pre[-1]) + 1))
    return (*pre, "1")


def _labels(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(".")) if text else ()
