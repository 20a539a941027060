"""What git says of merges that were tried, and the order of landing that puts the fewest builds aside."""

from __future__ import annotations

import re
from itertools import combinations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.cli.conflicts import _grid
from br3.dispatch.conflict_watching import EVENT, Told
from br3.dispatch.conflicts import Matrix, Pair, Side
from br3.plan.model import Build, Plan, Task, Verify
from br3.plan.order import landing_order, needs_closure, order_of_fewest_conflicts, put_aside, reachable
from br3.repo.radar import Conflict, Trial, conflict_of, trials
from br3.repo.refs import CommitId
from br3.telemetry import Event

TREE = b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"
A, B = "a" * 40, "b" * 40
CLEAN = b"1\0" + TREE + b"\0\0"


def conflicting(stages: list[tuple[str, str, str]], told: list[tuple[str, list[str]]], *, advice: bytes = b"") -> bytes:
    """One merge as git prints it: stages are (mode, stage, path), told are (type, paths)."""
    out = b"0\0" + TREE + b"\0"
    for mode, stage, path in stages:
        out += f"{mode} {TREE.decode()} {stage}\t{path}".encode() + b"\0"
    out += b"\0"
    for said, paths in told:
        out += b"".join(field.encode() + b"\0" for field in (str(len(paths)), *paths, said, f"{said} in words\n"))
    return out + advice + b"\0"


CONTENT = conflicting(
    [("100644", "1", "f"), ("100644", "2", "f"), ("100644", "3", "f")],
    [("Auto-merging", ["f"]), ("CONFLICT (contents)", ["f"])],
)


def kinds(stages: list[tuple[str, str, str]], told: list[tuple[str, list[str]]]) -> dict[str, tuple[str, ...]]:
    (trial,) = trials(conflicting(stages, told))
    found = conflict_of(trial, (A, B))
    assert found is not None
    return dict(found.kinds)


def test_merges_are_told_apart_in_the_output_of_one_process() -> None:
    found = list(trials(CLEAN + CONTENT + CLEAN))
    assert [trial.clean for trial in found] == [True, False, True]
    assert found[1].told == (("Auto-merging", ("f",)), ("CONFLICT (contents)", ("f",)))
    assert list(trials(b"")) == []


def test_git_s_advice_on_submodules_ends_a_merge_like_nothing_else() -> None:
    sub = conflicting(
        [("160000", "2", "sub"), ("160000", "3", "sub")],
        [("CONFLICT (submodule not initialized)", ["sub"]), ("CONFLICT (contents)", ["sub"])],
        advice=b"Recursive merging with submodules\nis not possible\n",
    )
    assert [trial.clean for trial in trials(sub + CLEAN)] == [False, True]


@given(st.integers(0, len(CLEAN + CONTENT + CLEAN)))
def test_output_that_is_cut_off_gives_the_merges_before_the_cut(length: int) -> None:
    whole = CLEAN + CONTENT + CLEAN
    found = list(trials(whole[:length]))
    ends = [len(CLEAN), len(CLEAN + CONTENT), len(whole)]
    assert len(found) == sum(end <= length for end in ends)
    assert found == list(trials(whole))[: len(found)]


@pytest.mark.parametrize(
    ("stages", "told", "expected"),
    [
        ("123", ["CONFLICT (contents)"], "content"),
        ("23", ["CONFLICT (contents)"], "add/add"),
        ("12", ["CONFLICT (modify/delete)"], "modify/delete"),
        ("123", ["CONFLICT (binary)", "CONFLICT (contents)"], "binary"),
        ("2", ["CONFLICT (file/directory)"], "file/directory"),
        ("13", ["CONFLICT (rename/delete)"], "rename/delete"),
        ("23", ["CONFLICT (rename involved in collision)"], "rename/add"),
        ("2", ["CONFLICT (directory rename suggested)"], "directory rename"),
        ("2", ["CONFLICT(directory rename collision)"], "directory rename"),
        ("123", ["CONFLICT (what git will say one day)"], "what git will say one day"),
        ("123", ["Auto-merging"], "unknown"),
    ],
)
def test_the_kind_of_a_conflict(stages: str, told: list[str], expected: str) -> None:
    assert kinds([("100644", stage, "f") for stage in stages], [(said, ["f"]) for said in told]) == {expected: ("f",)}


def test_a_conflict_that_git_names_no_file_of_is_one() -> None:
    assert kinds([], []) == {"unknown": ()}
    assert kinds([], [("CONFLICT(directory rename unclear split)", ["old"])]) == {"directory rename": ("old",)}


def test_a_file_is_called_as_the_user_calls_it() -> None:
    for name in (f"fd~{A}", f"fd~{B}_0"):
        assert kinds([("100644", "2", name)], [("CONFLICT (file/directory)", [name, "fd"])]) == {
            "file/directory": ("fd",)
        }
    assert kinds([("100644", "2", "a~b")], [("CONFLICT (contents)", ["a~b"])]) == {"add/add": ("a~b",)}


def test_files_of_a_rename_that_are_in_conflict_are_all_named() -> None:
    stages = [("100644", "1", "old"), ("100644", "2", "x"), ("100644", "3", "y")]
    assert kinds(stages, [("CONFLICT (rename/rename)", ["old", "x", "y"])]) == {"rename/rename": ("old", "x", "y")}


def test_two_that_merge_have_no_conflict() -> None:
    assert conflict_of(Trial(True, (), ()), (A, B)) is None


def plan(*builds: tuple[str, list[str], list[str]]) -> Plan:
    """Builds as (id, after, needs)."""
    made = tuple(
        Build(
            name, name, f"build/{name}", name, (Task("t", "t", "t"),), Verify(), after=tuple(after), needs=tuple(needs)
        )
        for name, after, needs in builds
    )
    return Plan("p", "main", made)


def pairs(*names: str) -> set[frozenset[str]]:
    return {frozenset(name) for name in names}


def test_what_conflicts_with_most_comes_last() -> None:
    star = plan(("a", [], []), ("b", [], []), ("c", [], []), ("d", [], []))
    conflicts = pairs("ab", "ac", "ad")
    assert put_aside(star, ["a", "b", "c", "d"], conflicts) == {"b": ("a",), "c": ("a",), "d": ("a",)}
    order = order_of_fewest_conflicts(star, conflicts)
    assert order == ["b", "c", "d", "a"]
    assert put_aside(star, order, conflicts) == {"a": ("b", "c", "d")}


def test_the_plan_s_order_stays_where_going_step_by_step_would_put_more_aside() -> None:
    made = plan(("a", [], []), ("b", [], []), ("c", [], ["b"]), ("d", ["c"], []), ("e", [], ["d"]))
    assert order_of_fewest_conflicts(made, pairs("ab", "ac", "cd")) == ["a", "b", "c", "d", "e"]


def test_what_lands_after_another_does_so_whatever_it_costs() -> None:
    held = plan(("a", [], []), ("b", ["a"], []), ("c", ["b"], []))
    assert order_of_fewest_conflicts(held, pairs("ab", "ac")) == ["a", "b", "c"]
    # The one between is no part of this landing, but it still orders the others.
    more = plan(("a", [], []), ("b", ["a"], []), ("c", ["b"], []), ("d", [], []))
    assert order_of_fewest_conflicts(more, pairs("ac", "ad"), among=["c", "a", "d"]) == ["d", "a", "c"]


def test_without_conflicts_the_plan_s_order_stays() -> None:
    free = plan(("c", [], []), ("a", ["b"], []), ("b", [], []))
    assert order_of_fewest_conflicts(free, set()) == ["c", "b", "a"]


def test_who_needs_what_does_not_land_does_not_land() -> None:
    chain = plan(("a", [], []), ("b", [], ["a"]), ("c", [], ["b"]), ("d", [], []))
    order = order_of_fewest_conflicts(chain, pairs("da"))
    assert put_aside(chain, order, pairs("da")) == {"d": ("a",)}
    assert put_aside(chain, ["a", "b", "c"], set(), lost=["a"]) == {"a": (), "b": ("a",), "c": ("a", "b")}


def test_what_conflicts_with_base_keeps_nobody_from_landing() -> None:
    three = plan(("a", [], []), ("b", [], []), ("c", [], []))
    order = order_of_fewest_conflicts(three, pairs("ab", "ac"), lost=["a"])
    assert list(put_aside(three, order, pairs("ab", "ac"), ["a"])) == ["a"]
    assert order == ["b", "c", "a"]


def test_what_cannot_land_anyway_is_worth_no_consideration() -> None:
    made = plan(("y", [], []), ("x", [], []), ("w", [], []), ("l", [], []), ("m", [], ["l"]), ("n", [], ["l"]))
    conflicts = pairs("yx", "yw", "xm", "xn", "wm", "wn")
    order = order_of_fewest_conflicts(made, conflicts, lost=["l"])
    assert {*put_aside(made, order, conflicts, ["l"])} == {"l", "m", "n", "y"}


def test_who_only_comes_after_one_that_cannot_land_need_not_wait_for_the_others() -> None:
    made = plan(("k", [], []), ("l", [], []), ("x", ["l"], []), ("y", ["l"], []))
    conflicts = pairs("kx", "ky")
    order = order_of_fewest_conflicts(made, conflicts, lost=["l"])
    assert order == ["l", "x", "y", "k"] and {*put_aside(made, order, conflicts, ["l"])} == {"l", "k"}


@st.composite
def tangles(draw: st.DrawFn) -> tuple[Plan, set[frozenset[str]], list[str]]:
    names = [f"b{n}" for n in range(draw(st.integers(1, 8)))]
    shuffled = draw(st.permutations(names))
    edges = {}
    for at, name in enumerate(shuffled):
        earlier = st.lists(st.sampled_from(shuffled[:at]), max_size=2, unique=True) if at else st.just([])
        edges[name] = (draw(earlier), draw(earlier) if draw(st.booleans()) else [])
    made = plan(*((name, *edges[name]) for name in names))
    couples = [frozenset(couple) for couple in combinations(names, 2)]
    against = draw(st.sets(st.sampled_from(couples), max_size=14)) if couples else set()
    return made, against, draw(st.lists(st.sampled_from(names), max_size=2, unique=True))


@given(tangles())
def test_the_order_never_puts_more_aside_than_the_plan_s(tangle: tuple[Plan, set[frozenset[str]], list[str]]) -> None:
    made, against, lost = tangle
    planned = [build.id for build in landing_order(made)]
    order = order_of_fewest_conflicts(made, against, lost)
    assert sorted(order) == sorted(planned)
    edges = {build.id: (*build.after, *build.needs) for build in made.builds}
    for at, name in enumerate(order):
        assert reachable(edges, name) <= {*order[:at]}
    aside = put_aside(made, order, against, lost)
    assert len(aside) <= len(put_aside(made, planned, against, lost))
    landed = [name for name in order if name not in aside]
    assert not any(frozenset(couple) in against for couple in combinations(landed, 2))
    assert not any({*needs_closure(made, name)} & {*aside} for name in landed) and not {*landed} & {*lost}


def pair(*files: str) -> Pair:
    return Pair("a", "b", True, Conflict({"content": files}) if files else None)


def test_a_conflict_is_told_once_and_again_when_it_is_another() -> None:
    told = Told()
    one, two, three = (CommitId(digit * 40) for digit in "123")
    assert told.is_new(pair("f"), one, two)
    assert not told.is_new(pair("f"), one, two)
    assert not told.is_new(pair("f"), one, three), "a commit that changes nothing about it"
    assert told.is_new(pair("f", "g"), two, three)


def test_a_conflict_that_comes_back_is_told_again_unless_the_commits_are_those_of_before() -> None:
    told = Told()
    one, two, three = (CommitId(digit * 40) for digit in "123")
    assert told.is_new(pair("f"), one, two)
    assert not told.is_new(pair(), one, three)
    assert not told.is_new(pair("f"), one, two)
    assert not told.is_new(pair(), one, three)
    assert told.is_new(pair("f"), two, three)


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    data = {"with": "a", "files": ["f"], "kinds": {"content": ["f"]}, "commits": ["1" * 40, "2" * 40]}
    event = Event("", 1, 0, EVENT, "warning", "r", "b", None, None, 1, "h", data)
    one, two, three = (CommitId(digit * 40) for digit in "123")
    assert not Told([event]).is_new(pair("f"), one, two)
    assert not Told([event]).is_new(pair("f"), one, three)
    assert Told([event]).is_new(pair("g"), one, three)


@pytest.mark.parametrize(("builds", "width"), [(12, 80), (40, 80), (12, 40), (1, 40)])
def test_the_table_of_conflicts_keeps_within_the_terminal_and_leaves_no_pair_out(builds: int, width: int) -> None:
    sides = [
        Side(f"a-build-with-a-long-name-{n}", "work" if n < builds else "no changes") for n in range(1, builds + 1)
    ]
    conflict = Conflict({"content": ("f",)})
    among = [Pair(a.id, b.id, True, conflict) for a, b in combinations(sides, 2)]
    pairs = [*(Pair("main", side.id, True, None, with_base=True) for side in sides), *among]
    found = Matrix("main", CommitId(A), tuple(sides), tuple(pairs), (), {})
    lines = [click.unstyle(line) for line in _grid(found, sides, width)]
    assert max(map(len, lines)) <= width
    rows = [line.removesuffix("no changes") for line in lines if re.match(" *[0-9]+  a-", line)]
    assert sum(len(re.findall(" 1(?= |$)", row)) for row in rows) == len(among) + sum(r.startswith(" 1 ") for r in rows)
