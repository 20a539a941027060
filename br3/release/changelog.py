"""CHANGELOG.md with the section of a release put in, in the form of Keep a Changelog and in the file's own style.

What stands under *Unreleased* becomes part of the release; entries are added to the headings that are there; nothing
that is there is moved or changed, but for the link of *Unreleased*. A file that has the section already stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from br3.plan.semver import SEMVER

NEW = """\
# Changelog

All notable changes of this project. The format is that of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).
"""

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_OF_VERSION = re.compile(
    rf"(?P<open>\[?)(?P<v>v?)(?P<version>{SEMVER})(?![0-9A-Za-z.+-])(?P<close>\]?)(?:\([^)]*\))?"
    r"(?:(?P<sep>[ ]+(?:[-–—:][ ]+)?)(?P<paren>\(?)[0-9]{4}-[0-9]{2}-[0-9]{2}\)?)?.*"
)
_UNRELEASED = re.compile(r"\[?unreleased\]?(?:\([^)]*\))?", re.IGNORECASE)
_LINK = re.compile(r"\[(?P<label>[^\]]+)\]:[ \t]*(?P<head>\S*/compare/)(?P<old>\S+?)\.\.\.?(?P<new>\S+)[ \t]*")


@dataclass(frozen=True)
class Section:
    """What is to be said of a release: entries by heading (Added, Fixed, …), and a closing paragraph."""

    version: str
    tag: str
    date: str
    entries: Mapping[str, Sequence[str]]
    closing: str

    def lines(self) -> list[str]:
        """Everything below its heading, when nothing is there yet."""
        return _filled([], 3, self)


@dataclass(frozen=True)
class _Heading:
    at: int
    level: int
    text: str


def with_section(text: str, section: Section) -> str:
    """The changelog with the section put in; the same text when it has one of that version."""
    newline = "\r\n" if text.count("\n") == text.count("\r\n") > 0 else "\n"
    lines = (text if text.strip() else NEW).split(newline)
    headings = _headings(lines)
    released = [(h, m) for h in headings if (m := _OF_VERSION.fullmatch(h.text))]
    if any(match["version"] == section.version for _, match in released):
        return text
    unreleased = next((h for h in headings if _UNRELEASED.fullmatch(h.text)), None)
    level = unreleased.level if unreleased else released[0][0].level if released else 2
    heading = _heading(section, level, unreleased, released[0][1] if released else None)
    start, end = _ground(lines, headings, unreleased, level)
    body = _filled(lines[start:end], level + 1, section)
    before, after = _trimmed_end(lines[:start]), lines[end:]
    made = [*before, "", heading, "", *body, "", *after] if after else [*before, "", heading, "", *body, ""]
    return newline.join(_linked(made, section))


def _headings(lines: Sequence[str]) -> list[_Heading]:
    """The headings of a Markdown text; what stands in code and comments is none."""
    found, fence, comment = [], "", False
    for at, line in enumerate(lines):
        if comment or (not fence and line.lstrip().startswith("<!--")):
            comment = "-->" not in line
            continue
        opened = re.match(r" {0,3}(```+|~~~+)", line)
        if opened and (not fence or opened[1].startswith(fence)):
            fence = "" if fence else opened[1]
        match = None if fence or opened else _HEADING.fullmatch(line.removesuffix("\r"))
        if match:
            found.append(_Heading(at, len(match[1]), match[2]))
    return found


def _heading(section: Section, level: int, unreleased: _Heading | None, like: re.Match[str] | None) -> str:
    """The section's heading, written as the last one is."""
    signs = "#" * level
    if like is None:
        name = f"[{section.version}]" if unreleased and unreleased.text.startswith("[") else section.version
        return f"{signs} {name} - {section.date}"
    name = f"{like['open']}{like['v']}{section.version}{like['close']}"
    paren = like["paren"] or ""
    return f"{signs} {name}{like['sep'] or ' - '}{paren}{section.date}{')' if paren else ''}"


def _ground(lines: Sequence[str], headings: list[_Heading], unreleased: _Heading | None, level: int) -> tuple[int, int]:
    """Which lines the section takes in: those under Unreleased, else none, above the newest release."""
    if unreleased is not None:
        later = [h.at for h in headings if h.at > unreleased.at and h.level <= level]
        return unreleased.at + 1, min(later, default=_links_begin(lines))
    same = [h for h in headings if h.level == level]
    first = next((h for h in same if _OF_VERSION.fullmatch(h.text)), same[0] if same else None)
    at = _links_begin(lines) if first is None else first.at
    return at, at


def _links_begin(lines: Sequence[str]) -> int:
    """Where the definitions of links at the end begin, or the end."""
    at = len(lines)
    while at and (not lines[at - 1].strip() or re.match(r"\[[^\]]+\]:", lines[at - 1])):
        at -= 1
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _filled(lines: Sequence[str], level: int, section: Section) -> list[str]:
    """What stands under Unreleased with the section's entries added, each at the end of its heading's own."""
    made = _trimmed_end(_trimmed_start(list(lines)))
    for name, entries in section.entries.items():
        headings = _headings(made)
        mine = next((h for h in headings if h.text.casefold() == name.casefold()), None)
        if mine is None:
            made += [*([""] if made else []), f"{'#' * level} {name}", "", *entries]
            continue
        end = min((h.at for h in headings if h.at > mine.at and h.level <= mine.level), default=len(made))
        rest = made[end:]
        made = [*_trimmed_end(made[:end]), *entries, *([""] if rest else []), *rest]
        if made[mine.at + 1 : mine.at + 2] == list(entries[:1]):
            made.insert(mine.at + 1, "")
    if section.closing:
        made += [*([""] if made else []), section.closing]
    return made


def _linked(lines: list[str], section: Section) -> list[str]:
    """The links at the end that compare releases, with one more."""
    known = [(at, match) for at, line in enumerate(lines) if (match := _LINK.fullmatch(line))]
    if not known:
        return lines
    at, match = next(((a, m) for a, m in known if m["label"].casefold() == "unreleased"), known[0])
    tag = section.tag
    if match["label"].casefold() == "unreleased":
        dots = "..." if "..." in lines[at] else ".."
        own = f"[{match['label']}]: {match['head']}{tag}{dots}{match['new']}"
        return [*lines[:at], own, f"[{section.version}]: {match['head']}{match['old']}{dots}{tag}", *lines[at + 1 :]]
    return [*lines[:at], f"[{section.version}]: {match['head']}{match['new']}...{tag}", *lines[at:]]


def _trimmed_start(lines: list[str]) -> list[str]:
    while lines and not lines[0].strip():
        lines = lines[1:]
    return lines


def _trimmed_end(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines
