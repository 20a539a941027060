"""Text as its writer meant it: signs that a wrong encoding damaged, emphasis and code signs of Markdown."""

from __future__ import annotations

import re

_NOT_ASCII = re.compile(r"[^\x00-\x7f]{2,}")
_EMOJI = re.compile(r"[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d\u20e3]+\s*")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)(?:\s+\"[^\"]*\")?\)")
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1")
_STAR = re.compile(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])")
_CODE = re.compile(r"(`+)(.+?)\1")


def repaired(text: str) -> str:
    """Runs of signs that are UTF-8 read as Mac Roman or Windows-1252, turned back; nothing else is touched.

    A run is certain when all of its bytes make UTF-8 and what they make is shorter.
    """

    def mend(found: re.Match[str]) -> str:
        for encoding in ("mac_roman", "cp1252"):
            try:
                meant = found[0].encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
            if len(meant) < len(found[0]):
                return meant
        return found[0]

    return _NOT_ASCII.sub(mend, text)


def plain(text: str) -> str:
    """Inline Markdown without its signs; of a link the words."""
    shown = _LINK.sub(r"\1", text)
    shown = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", shown))
    shown = _CODE.sub(r"\2", _STAR.sub(r"\1", shown))
    return shown.strip()


def title(text: str) -> str:
    """A heading or name as a title: repaired, without Markdown, emoji and what closes it."""
    return _EMOJI.sub("", plain(repaired(text))).strip().strip(":").strip()


def codes(text: str) -> list[str]:
    """What stands in code signs."""
    return [found[2].strip() for found in _CODE.finditer(text) if found[2].strip()]


def slug(text: str, longest: int = 40) -> str:
    """The text as an id: lower case, words joined by dashes."""
    import unicodedata

    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", folded.lower())
    made = ""
    for word in words:
        longer = f"{made}-{word}" if made else word
        if made and len(longer) > longest:
            break
        made = longer[:longest]
    return made
