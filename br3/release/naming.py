"""What a release is to be called: command line over plan; a tag as it is written, or a form around a version.

tag = "v3.1.0-alpha.4"                     the tag; the version is the one it ends with, if it does
tag = "core/v{version}", version = "3.1.0" the form, and the version
    bump = "auto"                              the form (v{version} when nothing is said), and what gives the version
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from br3.errors import UsageError
from br3.plan.model import Release
from br3.plan.refnames import refusal
from br3.plan.semver import SEMVER
from br3.release.versions import Version, parse
from br3.repo.tags import Tag

PLACE = "{version}"
BUMPS = ("auto", "major", "minor", "patch", "prerelease")


@dataclass(frozen=True)
class Wish:
    """What the command line says over the plan; None where it says nothing."""

    tag: str | None = None
    version: str | None = None
    bump: str | None = None
    message: str | None = None
    push: bool | None = None
    remote: str | None = None


@dataclass(frozen=True)
class Asked:
    """The tag and its version, or (``tag`` None) the ``bump`` that they follow from.

    ``form`` has the place of a version; None when there is none in the tag.
    """

    tag: str | None
    version: Version | None
    bump: str | None
    form: str | None

    def tag_of(self, version: Version) -> str:
        return (self.form or PLACE).replace(PLACE, str(version))

    def versions(self, tags: Sequence[Tag]) -> list[tuple[Version, Tag]]:
        """The tags of this form with their versions, the highest first."""
        if self.form is None:
            return []
        before, _, after = self.form.partition(PLACE)
        pattern = re.compile(f"{re.escape(before)}({SEMVER}){re.escape(after)}")
        found = [(parse(match[1]), tag) for tag in tags if (match := pattern.fullmatch(tag.name))]
        known = [(version, tag) for version, tag in found if version is not None]
        return sorted(known, key=lambda pair: pair[0].precedence, reverse=True)


def asked(plan: Release, wish: Wish) -> Asked:
    """What is asked for; UsageError when nothing is, or it contradicts itself."""
    literal = wish.tag is not None and PLACE not in wish.tag
    own = wish.version or wish.bump
    version, bump = (wish.version, wish.bump) if own else (None, None) if literal else (plan.version, plan.bump)
    tag = wish.tag or plan.tag
    if literal and bump:
        raise UsageError(
            f"--tag {wish.tag} is one release, --bump asks for the next one's version",
            hint=f"br3 release --bump {bump} --tag 'v{PLACE}', or without --tag",
        )
    if bump:
        form = _form(tag)
        _refuse_odd(form.replace(PLACE, "1.0.0"))
        return Asked(None, None, bump, form)
    if version:
        found = parse(version.removeprefix("v"))
        if found is None:
            raise UsageError(f"{version!r} is no version", hint="br3 release --version 1.2.0, or 1.2.0-alpha.1")
        form = _form(tag)
        return _checked(tag if tag and literal else form.replace(PLACE, str(found)), found, form)
    if tag and PLACE in tag:
        raise UsageError(f"the tag {tag} asks for a version", hint="br3 release --bump auto, or: --version 1.2.0")
    if not tag:
        raise UsageError("no tag is named", hint="[release] tag in br3.toml, or: br3 release --tag v1.0.0")
    found = _version_in(tag)
    return _checked(tag, found, _form(tag) if found else None)


def _form(tag: str | None) -> str:
    """The form of a tag that is one, or is written with its version."""
    if tag and PLACE in tag:
        return tag
    version = _version_in(tag) if tag else None
    return f"{str(tag).removesuffix(str(version))}{PLACE}" if version else f"v{PLACE}"


def _version_in(tag: str) -> Version | None:
    found = re.fullmatch(rf"(?:.*[^0-9.])??({SEMVER})", tag)
    return parse(found[1]) if found else None


def _checked(tag: str, version: Version | None, form: str | None) -> Asked:
    _refuse_odd(tag)
    return Asked(tag, version, None, form)


def _refuse_odd(tag: str) -> None:
    complaint = refusal(tag)
    if complaint:
        raise UsageError(f"git does not take {tag!r} as a tag's name: it {complaint}", hint="br3 release --tag v1.0.0")
