"""The page: it needs nothing from elsewhere, nothing in it is markup but its own, and it can be read by everybody."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from importlib import resources

import pytest

from br3.report.facts import Facts, Spent, as_json
from br3.report.markup import Markup, el, fit, joined, spans
from br3.report.page import page
from tests.report_facts import facts_of, texts_changed

HOSTILE = (
    "</td></style><script>alert('1')</script><img src=x onerror=alert(1)> \" & ]]> \x1b[31mred\x1b[0m \u202eback\x00"
)
# Fields that hold br3's own words, by which it chooses what to draw.
OWN_WORDS = ("state", "kind", "unit", "lands_by", "cost_usd")


class Read(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside of style."""

    VOID = frozenset({"meta", "br", "hr", "link"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data


@pytest.mark.parametrize("builds", [1, 2, 40])
def test_a_page_is_sound_markup_at_any_size(builds: int) -> None:
    read = Read(page(facts_of(builds)))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "no two elements have one id"
    links = [attributes["href"] for tag, attributes in read.elements if tag == "a"]
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    for number in (1, builds):
        assert f"The build with number {number}" in read.text


def test_nothing_is_loaded_from_anywhere() -> None:
    html = page(facts_of(3))
    read = Read(html)
    assert not {tag for tag, _ in read.elements} & {"script", "link", "img", "iframe", "object", "embed", "base"}
    for _, attributes in read.elements:
        assert not {"src", "srcset", "action", "style", "xlink:href"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "http://" not in html and "https://" not in html and "@import" not in html
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {
        "#p-failed",
        "#p-paused",
        "#p-repairing",
        "#p-verifying",
    }
    policy = next(a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_hostile_text_in_every_place_stays_text() -> None:
    plain = Read(page(facts_of(3)))
    read = Read(page(texts_changed(facts_of(3), lambda text: text + HOSTILE, keep=OWN_WORDS)))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements], "not one element more"
    assert {name for _, a in read.elements for name in a} == {name for _, a in plain.elements for name in a}
    assert read.text.count("<script>alert('1')</script>") > 60
    assert not re.search("[\x00-\x08\x1b\u202e]", read.text)


def test_what_is_not_known_is_said_to_be_unknown_and_never_nothing() -> None:
    facts = facts_of(4)
    html = page(facts)
    row = html.split('href="#build-4"')[1].split("</tr>")[0]
    assert "unknown" in row and "0.00 USD" not in row
    assert "at least 0.60 USD" in html and "1 attempt did not say what it took" in html
    unknown = page(facts_of(1, spent=Spent(None, 0, 3), models=(), payments=(), tokens=None))
    assert "3 attempts did not say what they took" in unknown
    assert "Paid: unknown" in Read(unknown).text and "0.00 USD" not in unknown.split("<h2")[1]


def test_tokens_without_a_price_keep_a_sum_from_looking_whole() -> None:
    html = page(facts_of(1, spent=Spent(Decimal("1.5"), 12000, 0)))
    assert "at least 1.50 USD" in html and "12,000 tokens have no price" in html


def test_over_the_budget_is_said_in_words() -> None:
    assert "over the budget" in page(facts_of(1, budget_usd=Decimal("0.01")))


def test_every_plot_has_a_title_and_a_table_of_what_it_shows() -> None:
    read = Read(page(facts_of(5)))
    plots = [attributes for tag, attributes in read.elements if tag == "svg" and attributes.get("class") == "plot"]
    ids = {attributes.get("id") for _, attributes in read.elements}
    assert len(plots) == 8
    for plot in plots:
        assert plot["role"] == "img" and plot["aria-labelledby"] in ids
    for caption in ("Every attempt", "Tokens and dollars by model", "In USD", "In minutes", "Pairs with a conflict"):
        assert caption in read.text


def test_colour_is_never_the_only_sign() -> None:
    html = page(facts_of(5))
    for state in ("✓ landed", "✗ failed", "✓ succeeded", "× conflict"):
        assert state in html
    css = (resources.files("br3.report") / "page.css").read_text()
    for kind in ("failed", "paused", "repairing", "verifying"):
        assert f".bar.c-{kind} {{ fill: url(#p-{kind}); }}" in css


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_letters_stand_out_enough_from_the_ground(scheme: str) -> None:
    css = (resources.files("br3.report") / "page.css").read_text()
    start = {"light": 0, "dark": css.index("prefers-color-scheme: dark"), "print": css.index("@media print")}[scheme]
    block = css[start : css.index("}", start)]
    colours = {name: _rgb(value) for name, value in re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block)}
    for ink in ("ink", "soft", "good", "bad", "warn", "run"):
        assert _contrast(colours[ink], colours["ground"]) >= 4.5, ink
    for bar in ("good", "bad", "run"):
        assert _contrast(colours["on-bar"], colours[bar]) >= 4.5, bar


def _rgb(value: str) -> tuple[int, int, int]:
    digits = value[1:] if len(value) == 7 else "".join(2 * digit for digit in value[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The ratio of WCAG 2.1."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [c / 255 for c in colour]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_it_can_be_printed_with_what_is_folded_away() -> None:
    css = (resources.files("br3.report") / "page.css").read_text().partition("@media print")[2]
    assert "details::details-content" in css and "break-inside: avoid" in css and "color-scheme: light" in css


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"state": "running", "ended": None}, "still at work"),
        ({"state": "interrupted", "ended": None}, "nobody is at work on it"),
        ({"state": "created", "ended": None}, "done by hand"),
        ({"lands_by": "pr"}, "pull request"),
        ({"base_now": None}, "(it is gone)"),
        ({"timeline": (), "payments": (), "attempts": ()}, "Nothing has happened yet"),
        ({"checklist": ()}, "The plan has no checklist"),
    ],
)
def test_a_run_in_any_state_reads_well(other: dict[str, object], said: str) -> None:
    assert said in Read(page(facts_of(2, **other))).text


def test_as_json_money_is_text_and_times_are_rfc_3339() -> None:
    shape = as_json(facts_of(1))
    assert shape["spent"] == {"usd": "0.10", "unpriced_tokens": 0, "silent_attempts": 0}
    assert shape["began"] == "2026-11-20T09:00:00.000000Z"
    assert shape["builds"][0]["tasks"][0]["id"] == "T.1"


def test_text_is_escaped_once_and_markup_is_not() -> None:
    assert el("p", "<b>", Markup("<i></i>"), None, title='"&') == '<p title="&quot;&amp;">&lt;b&gt;<i></i></p>'
    assert joined("a & b", el("br")) == "a &amp; b<br>"
    assert spans("`a < b` is code, ` is not") == "`a &lt; b` is code, ` is not"
    assert spans("so `a < b` is") == "so <code>a &lt; b</code> is"
    assert fit("\x1b[1;31mred\x1b[0m\r\nnext\x07\u061c") == "red\nnext\ufffd\ufffd"


def test_facts_with_nothing_in_them_make_a_page() -> None:
    empty: Facts = facts_of(
        1, runs=(), payments=(), models=(), outcomes=(), attempts=(), timeline=(), checklist=(), releases=()
    )
    assert "nothing to compare" in Read(page(empty)).text
