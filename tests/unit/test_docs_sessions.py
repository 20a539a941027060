"""How sessions of pages are read and compared, and that none stands where it is not played."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consoles import Step, differs, sessions, steps
from tests.pages import PAGES, RECORDS, fences, indented, read
from tests.places import PLACES

ROOT = Path("/scratch/me")


def step(*shown: str, unordered: bool = False) -> Step:
    return Step("br3 x", shown, 1, unordered)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in RECORDS], ids=lambda page: page.name)
def test_whatever_shows_a_prompt_is_a_console(page: Path) -> None:
    blocks = [block.text for block in fences(read(page)) if block.info[:1] != ("console",)] + indented(read(page))
    assert [block for block in blocks if any(line.startswith("$ ") for line in block.splitlines())] == []


def test_every_place_is_used_and_there() -> None:
    assert {session.place for page in PAGES for session in sessions(page)} == set(PLACES)


def test_a_block_is_taken_apart_into_commands_with_here_documents_and_what_they_print() -> None:
    (block,) = fences("```console empty\n$ cat > a <<'END'\n$ no command\nEND\n$ br3 x\none\n\ntwo\n```\n")
    first, second = steps(block)
    assert (first.typed, first.shown) == ("cat > a <<'END'\n$ no command\nEND", ())
    assert (second.typed, second.shown, second.line) == ("br3 x", ("one", "two"), 5)
    with pytest.raises(ValueError, match="begins with a command"):
        steps(fences("```console\nprinted by nobody\n```\n")[0])


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("run 20261122-104501-a3f2: 2 builds", "run 20270101-000000-zz9z: 2 builds"),
        ("main: 9fa460f04 → 1f0dfae19", "main: abcdef012 → 0123456789ab"),
        ("13:36:21  a  done in 0.2 s", "01:00:00  a   done in 1 min 3 s"),
        ("in /home/me/shop", "in /scratch/me/shop"),
        ("port 22384", "port 30001"),
        ("one […] two", "one and another two"),
    ],
)
def test_what_differs_each_time_is_not_compared(shown: str, printed: str) -> None:
    assert differs(step(shown), f"{printed}\n", ROOT) is None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("2 tests passed", "3 tests passed"),
        ("landed  a", "aside  a"),
        ("1/1", "2/2"),
        ("exit 0", "exit 1"),
        ("one", ""),
        ("[…] two", "one"),
    ],
)
def test_what_is_said_is_compared(shown: str, printed: str) -> None:
    assert differs(step(shown), f"{printed}\n", ROOT) is not None
    assert differs(step(shown, unordered=True), f"{printed}\n", ROOT) is not None


def test_lines_left_out_are_marked_and_order_counts_unless_it_is_said_not_to() -> None:
    printed = "one\ntwo\nthree\n"
    assert differs(step("one", "[…]", "three"), printed, ROOT) is None
    assert differs(step("one", "three"), printed, ROOT) is not None
    assert differs(step("three", "[…]", "one"), printed, ROOT) is not None
    assert differs(step("three", "[…]", "one", unordered=True), printed, ROOT) is None
