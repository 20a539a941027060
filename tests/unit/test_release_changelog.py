"""The changelog's section: under Unreleased or above the newest release, in the file's own style, nothing moved."""

from __future__ import annotations

import difflib

import pytest

from br3.release.changelog import NEW, Section, with_section

SECTION = Section(
    "1.1.0", "v1.1.0", "2026-02-03", {"Added": ["- Storage", "  - Tables"], "Fixed": ["- Totals"]}, "Tests: 9 now."
)


def text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


BODY = ("### Added", "", "- Storage", "  - Tables", "", "### Fixed", "", "- Totals", "", "Tests: 9 now.")


def test_a_file_that_is_not_there_is_begun() -> None:
    assert with_section("", SECTION) == NEW + "\n" + text("## 1.1.0 - 2026-02-03", "", *BODY)


def test_it_stands_above_the_newest_release() -> None:
    old = text("# Changelog", "", "Words.", "", "## 1.0.0 - 2026-01-01", "", "- Begin.")
    made = with_section(old, SECTION)
    assert made == text(
        "# Changelog", "", "Words.", "", "## 1.1.0 - 2026-02-03", "", *BODY, "", "## 1.0.0 - 2026-01-01", "", "- Begin."
    )


def test_what_stands_under_unreleased_becomes_part_of_it_and_entries_join_their_headings() -> None:
    old = text(
        "# Changelog", "", "## [Unreleased]", "", "### Added", "", "- By hand.", "", "### Removed", "", "- Old.", "",
        "## [1.0.0] - 2026-01-01",
    )  # fmt: skip
    made = with_section(old, SECTION)
    assert made == text(
        "# Changelog", "", "## [Unreleased]", "", "## [1.1.0] - 2026-02-03", "", "### Added", "", "- By hand.",
        "- Storage", "  - Tables", "", "### Removed", "", "- Old.", "", "### Fixed", "", "- Totals", "",
        "Tests: 9 now.", "", "## [1.0.0] - 2026-01-01",
    )  # fmt: skip


def test_an_empty_heading_under_unreleased_is_filled() -> None:
    made = with_section(text("## Unreleased", "", "### Added", "", "## 1.0.0"), SECTION)
    assert "### Added\n\n- Storage\n  - Tables\n\n### Fixed" in made


def test_links_that_compare_releases_are_continued() -> None:
    base = "https://forge.example/p/compare"
    old = text(
        "# Changelog", "", "## [Unreleased]", "", "## [1.0.0] - 2026-01-01", "",
        f"[unreleased]: {base}/v1.0.0...HEAD", f"[1.0.0]: {base}/v0.9.0...v1.0.0",
    )  # fmt: skip
    made = with_section(old, SECTION)
    assert made.endswith(
        text(
            f"[unreleased]: {base}/v1.1.0...HEAD",
            f"[1.1.0]: {base}/v1.0.0...v1.1.0",
            f"[1.0.0]: {base}/v0.9.0...v1.0.0",
        )
    )
    without = with_section(old.replace(f"[unreleased]: {base}/v1.0.0...HEAD\n", ""), SECTION)
    assert f"[1.1.0]: {base}/v1.0.0...v1.1.0\n[1.0.0]:" in without


@pytest.mark.parametrize(
    ("heading", "made"),
    [
        ("## [1.0.0] - 2026-01-01", "## [1.1.0] - 2026-02-03"),
        ("## v1.0.0 (2026-01-01)", "## v1.1.0 (2026-02-03)"),
        ("# 1.0.0 — 2026-01-01", "# 1.1.0 — 2026-02-03"),
        ("## [1.0.0](https://x.example/1) (2026-01-01)", "## [1.1.0] (2026-02-03)"),
        ("## 1.0.0-rc.1", "## 1.1.0 - 2026-02-03"),
        ("## Week 1", "## 1.1.0 - 2026-02-03"),
    ],
)
def test_headings_are_written_as_the_last_one_is(heading: str, made: str) -> None:
    assert f"\n{made}\n" in with_section(text("Words.", "", heading, "", "- Begin."), SECTION)


def test_a_section_that_is_there_stays_as_it_is() -> None:
    for heading in ("## 1.1.0", "## [v1.1.0] - 2020-01-01", "## 1.1.0 (soon)"):
        old = text("# Changelog", "", heading, "", "By hand.")
        assert with_section(old, SECTION) == old
    for heading in ("## 1.1.0-rc.1", "## 1.1.0rc1"):
        assert with_section(text(heading, "", "x"), SECTION) != text(heading, "", "x")


def test_headings_in_code_and_comments_are_none() -> None:
    old = text("# Changelog", "", "<!--", "## Unreleased", "-->", "```", "## 1.1.0", "```", "", "## 1.0.0")
    made = with_section(old, SECTION).split("\n")
    assert made.index("## 1.1.0 - 2026-02-03") > made.index("```")


@pytest.mark.parametrize(
    "old",
    [
        text(
            "# Changelog",
            "",
            "## Unreleased",
            "",
            "- a",
            "- b",
            "",
            "## 1.0.0",
            "",
            "- c",
            "",
            "[1.0.0]: x/compare/a...b",
        ),
        text("Words"),
        text("Words", "without an end").removesuffix("\n"),
        text("# Changelog", "", "## Unreleased"),
    ],
)
def test_every_line_that_was_there_is_there_in_its_order(old: str) -> None:
    for newline in ("\n", "\r\n"):
        before = old.replace("\n", newline)
        made = with_section(before, SECTION)
        lost = [line for line in difflib.ndiff(before.splitlines(), made.splitlines()) if line.startswith("- ")]
        assert [line for line in lost if line.strip() != "-"] == []
        assert made.count("\n") == made.count(newline) and made.endswith(newline)


def test_unreleased_is_seen_where_only_some_lines_end_in_crlf() -> None:
    made = with_section("# Changelog\r\n\r\n## [Unreleased]\r\n\r\n- mine\r\n\n## [0.1.0] - 2026-01-01\n", SECTION)
    heading = made.index(f"## [{SECTION.version}]")
    assert made.index("## [Unreleased]") < heading < made.index("- mine") < made.index("## [0.1.0]")
