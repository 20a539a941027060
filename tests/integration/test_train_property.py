"""The train over random histories: real git, in process; and ``kill -9`` at any git call of ``br3 merge``."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from br3.dispatch.standing import standings
from br3.errors import Refused
from br3.landing.training import Options, merge
from tests.conftest import EXAMPLES, Scratch
from tests.integration.killing import git_that_kills_at
from tests.integration.trains import Made, lay

SHARED = "".join(f"line {number}\n" for number in range(30))


@dataclass(frozen=True)
class Case:
    """Builds, who of them breaks what, how they land, and what lies about in the user's checkout."""

    builds: tuple[Made, ...]
    window: int
    one_by_one: bool
    local: frozenset[str]
    elsewhere: bool


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = [f"b{number}" for number in range(draw(st.integers(1, 5)))]
    builds: list[Made] = []
    for at, name in enumerate(names):
        first = {name: f"{name}\n"}
        kind = draw(st.sampled_from(["fine", "fine", "fine", "bad", "breaks", "edits"]))
        if kind == "bad":
            first[f"bad-{name}"] = "x\n"
        elif kind == "breaks":
            first[f"breaks-{draw(st.integers(0, 1))}-{draw(st.sampled_from('ab'))}"] = f"{name}\n"
        elif kind == "edits":
            line = draw(st.integers(0, 2)) * 10
            first["shared.txt"] = SHARED.replace(f"line {line}\n", f"line {line} of {name}\n")
        commits = [first]
        if draw(st.booleans()):
            commits.append({f"{name}-more": "more\n"})
        # What needs one that edits would write over its line.
        calm = [one.id for one in builds if "shared.txt" not in one.commits[0]]
        needs = draw(st.sets(st.sampled_from(calm), max_size=2)) if calm and draw(st.booleans()) else set()
        after = draw(st.sampled_from(names)) if draw(st.booleans()) else name
        keys = f'strategy = "{draw(st.sampled_from(["merge", "squash", "rebase"]))}"'
        if names.index(after) < at:
            keys += f'\nafter = ["{after}"]'
        builds.append(Made(name, commits, tuple(sorted(needs)), keys))
    return Case(
        tuple(builds),
        window=draw(st.integers(1, 3)),
        one_by_one=draw(st.integers(0, 4)) == 0,
        local=draw(st.frozensets(st.sampled_from(["edited", "staged", "both", "untracked", "in the way"]))),
        elsewhere=draw(st.integers(0, 4)) == 0,
    )


def begun(directory: Path) -> Scratch:
    repo = Scratch(directory / "project")
    repo.path.mkdir()
    repo.git("init", "--quiet")
    for name in ("README.md", "edited", "staged", "both"):
        repo.write(name, f"{name}\n")
    repo.write("shared.txt", SHARED)
    repo.commit("begin")
    return repo


def soil(repo: Scratch, local: frozenset[str]) -> None:
    """Local changes: unstaged, staged, both in one file, untracked, and one where a build would land."""
    if "staged" in local:
        repo.write("staged", "mine, staged\n")
        repo.git("add", "staged")
    if "both" in local:
        repo.write("both", "mine, staged\n")
        repo.git("add", "both")
        repo.write("both", "mine, and edited since\n")
    if "edited" in local:
        repo.write("edited", "mine\n")
    if "untracked" in local:
        repo.write("untracked", "mine\n")
    if "in the way" in local:
        repo.write("b0", "mine, not yours\n")


def local_changes(repo: Scratch) -> tuple[str, str, dict[str, bytes]]:
    """What is staged, what is not, and the bytes of all that git does not find on HEAD."""
    changed = repo.git("diff", "--name-only", "HEAD").split() + repo.git("ls-files", "--others").split()
    return (
        repo.git("diff", "--cached", "--raw", "--no-abbrev", "HEAD"),
        repo.git("diff", "--raw"),
        {name: (repo.path / name).read_bytes() for name in changed},
    )


def right(repo: Scratch) -> None:
    """Base was only ever at a commit whose tree passed in a throw-away worktree, and holds together now."""
    passed = {e.data["tree"] for e in repo.events("quality.passed") if e.build is None}
    moved = repo.events("landing.moved")
    for event in moved:
        assert repo.head(f"{event.data['new']}^{{tree}}") in passed
    positions = repo.git("log", "--walk-reflogs", "--format=%H", "main").split()
    assert {e.data["new"] for e in moved} >= set(positions[: len(moved)])
    if moved:
        assert repo.head() == moved[-1].data["new"]


def in_base(repo: Scratch, builds: tuple[Made, ...] | list[Made], landed: list[str]) -> None:
    """The change of each build that landed is in base, that of no other is."""
    files = set(repo.git("ls-tree", "--name-only", "main").split())
    shared = repo.git("show", "main:shared.txt") if "shared.txt" in files else ""
    for build in builds:
        for commit in build.commits:
            for name, text in commit.items():
                if name == "shared.txt":
                    mine = set(text.splitlines()) - set(SHARED.splitlines())
                    assert (mine <= set(shared.splitlines())) == (build.id in landed)
                elif not name.startswith("breaks-"):
                    assert (name in files) == (build.id in landed), f"{name} of {build.id}"


@settings(max_examples=25 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_base_is_only_ever_at_a_verified_commit_and_nothing_of_the_user_s_is_lost(case: Case) -> None:
    with tempfile.TemporaryDirectory() as directory:
        repo = begun(Path(directory))
        session = lay(repo, case.builds, landing=f"window = {case.window}")
        soil(repo, case.local)
        if case.elsewhere:
            repo.git("switch", "--quiet", "--create", "elsewhere")
        before, local, status = repo.head(), local_changes(repo), repo.git("status", "--porcelain")
        session.site()
        ids = [build.id for build in case.builds]
        try:
            train = merge(session, session.plan.builds, options=Options(one_by_one=case.one_by_one))
        except Refused as refusal:
            assert "in the way" in case.local and not case.elsewhere and "b0" in refusal.message
            assert (repo.head(), local_changes(repo)) == (before, local)
            return
        assert local_changes(repo) == local
        assert case.elsewhere or repo.git("status", "--porcelain") == status
        right(repo)
        in_base(repo, case.builds, train.landed)
        aside = [one.id for one in train.aside]
        assert sorted(train.landed + aside) == sorted(ids)
        assert (repo.head() != before) == bool(train.landed)
        session.refresh()
        assert [s.id for s in standings(session) if s.landed] == [i for i in ids if i in train.landed]
        assert [line for line in repo.git("worktree", "list").splitlines() if "br3-train" in line] == []
        again = merge(session, session.plan.builds)
        assert (again.landed, sorted(again.before)) == ([], sorted(train.landed))
        assert not again.test_runs or any(one.cause == "verification" for one in train.aside)
        assert local_changes(repo) == local


KILLED = [
    Made("a", [{"a": "a\n"}, {"a-more": "more\n"}], keys='strategy = "rebase"'),
    Made("b", [{"b": "b\n", "bad-b": "x\n"}]),
    Made("c", [{"c": "c\n"}], keys='strategy = "squash"'),
    Made("d", [{"d": "d\n"}], needs=("c",)),
]


def runs_of_tests(repo: Scratch) -> None:
    """No tree was tested again that had passed, and none more than twice that had failed."""
    verdicts = [e for e in repo.events("quality.passed", "quality.failed") if e.build is None]
    for (kind, *_), times in Counter((e.kind, e.data["tree"], e.data["environment"]) for e in verdicts).items():
        assert times <= (1 if kind == "quality.passed" else 2)


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many git calls a merge makes, measured once."""
    return {}


@pytest.mark.parametrize("seed", range(8))
def test_kill_9_at_any_git_call_leaves_base_old_or_new_and_the_next_merge_finishes(
    tmp_path: Path, calls: dict[str, int], seed: int
) -> None:
    repo = begun(tmp_path)
    lay(repo, KILLED)
    repo.write("README.md", "mine\n")
    repo.write("staged", "mine\n")
    repo.git("add", "staged")
    if not calls:
        twin = Scratch(tmp_path / "twin" / "project")
        shutil.copytree(repo.path, twin.path, symlinks=True)
        counting, count = git_that_kills_at(tmp_path / "counting", 10**9)
        twin.br3("merge", "--trust", "--json", env=counting, code=1)
        calls["merge"] = len(count.read_text())
    before, local = repo.head(), local_changes(repo)
    # Spread over the whole of it, and a few at its end, where base moves.
    chance = random.Random(seed)
    last = calls["merge"]
    at = chance.randint(1, last) if seed % 2 else chance.randint(max(1, last - 30), last)
    killing, _ = git_that_kills_at(tmp_path / "killing", at)
    assert repo.br3("merge", "--trust", env=killing, code=None).code in (-signal.SIGKILL, 1)
    assert repo.head() in (before, *(e.data["new"] for e in repo.events("landing.intent")))
    data = repo.br3("merge", "--json", "--trust", code=1).json
    assert sorted(data["landed"] + data["already_landed"]) == ["a", "c", "d"]
    assert [one["id"] for one in data["aside"]] == ["b"]
    right(repo)
    in_base(repo, KILLED, ["a", "c", "d"])
    runs_of_tests(repo)
    assert local_changes(repo) == local
    assert {b for b, facts in repo.status()["builds"].items() if facts["landed"]} == {"a", "c", "d"}
    assert [line for line in repo.git("worktree", "list").splitlines() if "br3-train" in line] == []
    repo.br3("merge", "--undo", str(repo.status()["run"]))
    assert (repo.head(), local_changes(repo)) == (before, local)
