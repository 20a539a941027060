"""Elements of HTML and SVG: every text that is put into one is escaped, here and nowhere else."""

from __future__ import annotations

import re
from html import escape

# What moves a cursor, turns the direction of writing, or may not stand in a document at all.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | Markup | None


def fit(text: str) -> str:
    """The text without colours of a terminal; what may not stand in a document is shown as a replacement character."""
    return _UNFIT.sub("\ufffd", _ANSI.sub("", text.replace("\r\n", "\n")))


def el(name: str, /, *content: Content, **attributes: str | int | float | None) -> Markup:
    """An element. A name's trailing underscore is dropped, others are dashes (``class_``, ``text_anchor``).

    None is no content, and no attribute.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(fit(_number(value)), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not content and name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(*content)}</{name}>")


def joined(*content: Content, between: str = "") -> Markup:
    """Contents one after the other, those that are not markup escaped."""
    parts = [
        part if isinstance(part, Markup) else escape(fit(part), quote=False) for part in content if part is not None
    ]
    return Markup(between.join(parts))


def spans(text: str) -> Markup:
    """A text in which what stands between two backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return joined(text)
    return joined(*(el("code", part) if place % 2 else part for place, part in enumerate(parts)))


def _number(value: str | int | float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


_VOID = frozenset({"meta", "link", "br", "hr"})
