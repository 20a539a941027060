"""Conflicts foreseen: with real git, each kind; what is uncommitted; what is kept of answers; a run that goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from br3.dispatch.conflict_answers import Answers
from br3.dispatch.conflict_watching import ConflictWatch
from br3.dispatch.sessions import latest
from br3.repo import merges, runner
from br3.repo.radar import Conflict
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import discover
from tests.conftest import Scratch, script, shell_plan, until, writing

TEN = "".join(f"line {number}\n" for number in range(10))


def change(repo: Scratch, name: str, how: Callable[[], Any], start: str = "main") -> CommitId:
    """A branch from ``start`` with what ``how`` does; main is checked out again afterwards."""
    repo.git("checkout", "--quiet", "-B", name, start)
    how()
    commit = repo.commit(name)
    repo.git("checkout", "--quiet", "--force", "main")
    return CommitId(commit)


def gitlink(repo: Scratch, digit: str) -> None:
    """A nested repository's commit, committed at once: ``add --all`` would drop what has no directory."""
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{digit * 40},sub")
    repo.git("commit", "--quiet", "--message", "sub")
    (repo.path / "sub").mkdir()


def directory(repo: Scratch) -> None:
    (repo.path / "new").mkdir()
    repo.write("new/inner", "x\n")


Does = Callable[[Scratch], Any]

KINDS: dict[str, tuple[Does, Does, tuple[str, ...]]] = {
    "content": (
        lambda r: r.write("ten", TEN.replace("line 4", "mine")),
        lambda r: r.write("ten", TEN.replace("line 4", "yours")),
        ("ten",),
    ),
    "add/add": (lambda r: r.write("new", "mine\n"), lambda r: r.write("new", "yours\n"), ("new",)),
    "modify/delete": (lambda r: r.write("ten", TEN + "more\n"), lambda r: r.git("rm", "-q", "ten"), ("ten",)),
    "rename/rename": (
        lambda r: r.git("mv", "ten", "mine"),
        lambda r: r.git("mv", "ten", "yours"),
        ("ten", "mine", "yours"),
    ),
    "rename/delete": (lambda r: r.git("mv", "ten", "mine"), lambda r: r.git("rm", "-q", "ten"), ("mine",)),
    "binary": (
        lambda r: (r.path / "binary").write_bytes(b"\0mine"),
        lambda r: (r.path / "binary").write_bytes(b"\0yours"),
        ("binary",),
    ),
    "submodule": (lambda r: gitlink(r, "1"), lambda r: gitlink(r, "2"), ("sub",)),
    "file/directory": (lambda r: r.write("new", "x\n"), directory, ("new",)),
    "directory rename": (
        lambda r: r.git("mv", "folder", "moved"),
        lambda r: r.write("folder/third", "x\n"),
        ("moved/third",),
    ),
}


@pytest.fixture
def ground(repo: Scratch) -> Scratch:
    """A repository with files to conflict in."""
    repo.write("ten", TEN)
    repo.write("folder/one", TEN.replace("line", "one"))
    repo.write("folder/two", TEN.replace("line", "two"))
    (repo.path / "binary").write_bytes(b"\0base")
    repo.commit("ground")
    return repo


def git_of(repo: Scratch) -> Git:
    return Git(repo.common_dir)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_conflict_is_seen_with_its_files(ground: Scratch, kind: str) -> None:
    mine, yours, files = KINDS[kind]
    a, b = change(ground, "a", lambda: mine(ground)), change(ground, "b", lambda: yours(ground))
    with merges.passing(git_of(ground)) as git:
        found = merges.predict(git, [(a, b), (b, a)])
    for pair in ((a, b), (b, a)):
        conflict = found[pair]
        assert conflict is not None and set(conflict.kinds) == {kind}
        assert set(conflict.kinds[kind]) == set(files)


def test_histories_without_a_common_ancestor_conflict_and_stop_no_other_pair(ground: Scratch) -> None:
    ground.git("checkout", "--quiet", "--orphan", "strange")
    strange = CommitId(ground.commit("strange"))
    ground.git("checkout", "--quiet", "--force", "main")
    a = change(ground, "a", lambda: ground.write("new", "a\n"))
    b = change(ground, "b", lambda: ground.write("new", "b\n"))
    main = CommitId(ground.head())
    found = merges.predict(git_of(ground), [(a, main), (strange, a), (a, b), (b, strange)])
    told = [conflict and dict(conflict.kinds) for conflict in found.values()]
    assert told == [None, {"unrelated histories": ()}, {"add/add": ("new",)}, {"unrelated histories": ()}]


def test_an_id_that_is_none_is_an_error(ground: Scratch) -> None:
    with pytest.raises(runner.GitError):
        merges.predict(git_of(ground), [(CommitId(ground.head()), CommitId("1" * 40))])


def test_trying_leaves_no_object_in_the_repository(ground: Scratch) -> None:
    pair = tuple(change(ground, name, lambda name=name: ground.write("new", f"{name}\n")) for name in "ab")
    before = ground.git("count-objects", "-v")
    answers = Answers(git_of(ground))
    assert answers.ask(CommitId(ground.head()), [pair])[pair] is not None  # type: ignore[index, list-item]
    assert ground.git("count-objects", "-v") == before


def test_a_path_with_a_colon_is_no_list_of_paths(tmp_path: Path, ground: Scratch) -> None:
    a = change(ground, "a", lambda: ground.write("new", "a\n"))
    b = change(ground, "b", lambda: ground.write("new", "b\n"))
    odd = tmp_path / 'one:two"three'
    ground.path.rename(odd)
    with merges.passing(Git(odd / ".git")) as git:
        assert merges.predict(git, [(a, b)])[(a, b)] is not None


def test_merge_drivers_of_base_are_heeded(ground: Scratch) -> None:
    ground.write(".gitattributes", "ten merge=union\n")
    ground.write("folder/.gitattributes", "one merge=union\n")
    ground.commit("attributes")
    pair = tuple(
        change(
            ground,
            name,
            lambda name=name: (
                ground.write("ten", TEN + f"{name}\n"),
                ground.write("folder/one", f"{name}\n"),
                ground.write("folder/two", f"{name}\n"),
            ),
        )
        for name in "ab"
    )
    a, b = pair
    found = Answers(git_of(ground)).ask(CommitId(ground.head()), [(a, b)])[(a, b)]
    assert found is not None and found.files == ("folder/two",)


def one_conflict(ground: Scratch) -> tuple[CommitId, CommitId]:
    a = change(ground, "a", lambda: ground.write("new", "a\n"))
    return a, change(ground, "b", lambda: ground.write("new", "b\n"))


def test_an_answer_is_asked_for_once(ground: Scratch) -> None:
    a, b = one_conflict(ground)
    main = CommitId(ground.head())
    first = Answers(git_of(ground)).ask(main, [(a, b), (main, a)])
    again = Answers(git_of(ground))
    before = runner.calls
    assert again.ask(main, [(main, a), (b, a)]) == {(main, a): None, (b, a): first[(a, b)]}
    assert runner.calls - before == 2, "git's version and configuration, once"
    assert again.ask(main, [(a, b)]) == {(a, b): first[(a, b)]}
    assert runner.calls - before == 2


def test_other_settings_of_git_are_another_question(ground: Scratch) -> None:
    a = change(ground, "a", lambda: ground.git("mv", "folder", "moved"))
    b = change(ground, "b", lambda: ground.write("folder/third", "x\n"))
    main = CommitId(ground.head())
    ground.git("config", "merge.directoryRenames", "true")
    assert Answers(git_of(ground)).ask(main, [(a, b)]) == {(a, b): None}
    ground.git("config", "merge.directoryRenames", "conflict")
    conflict = Conflict({"directory rename": ("moved/third",)})
    assert Answers(git_of(ground)).ask(main, [(a, b)]) == {(a, b): conflict}
    assert Answers(git_of(ground)).newest([(a, b)]) == {(a, b): conflict}


def test_a_torn_line_costs_one_answer_and_no_other(ground: Scratch) -> None:
    a, b = one_conflict(ground)
    main = CommitId(ground.head())
    answers = Answers(git_of(ground))
    expected = answers.ask(main, [(a, b)])
    cache = ground.common_dir / "br3" / "conflicts.cache"
    whole = cache.read_bytes().rstrip(b"\n")
    for length in range(len(whole)):
        cache.write_bytes(whole[:length])
        assert Answers(git_of(ground)).newest([(a, b)]) == {}
    assert answers.ask(main, [(a, b), (main, a)]) == {**expected, (main, a): None}
    cache.write_bytes(cache.read_bytes().rstrip(b"\n")[:-1])
    answers.ask(main, [(main, b)])
    before = runner.calls
    assert answers.ask(main, [(main, b)]) == {(main, b): None}
    assert runner.calls == before, "what came after the torn line is whole"


def test_the_file_of_answers_is_bounded_and_keeps_the_newest(ground: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = one_conflict(ground)
    main = CommitId(ground.head())
    cache = ground.common_dir / "br3" / "conflicts.cache"
    cache.parent.mkdir(exist_ok=True)
    oldest, newest = ((CommitId(digit * 40), CommitId("f" * 40)) for digit in "12")
    line = "\n{} {} {} {}"
    some = line.format("0" * 16, "3" * 40, "4" * 40, "-") * 12_000
    first, last = (line.format("0" * 16, *pair, '{"content":["f"]}') for pair in (oldest, newest))
    cache.write_text(first + some + last)
    Answers(git_of(ground)).ask(main, [(a, b)])
    assert cache.stat().st_size < 1_000_000
    assert set(Answers(git_of(ground)).newest([oldest, newest, (a, b)])) == {newest, (a, b)}
    assert [path.name for path in cache.parent.glob("conflicts*")] == ["conflicts.cache"]


def test_a_directory_that_takes_nothing_changes_no_answer(ground: Scratch) -> None:
    a, b = one_conflict(ground)
    (ground.common_dir / "br3").write_text("not a directory")
    assert Answers(git_of(ground)).ask(CommitId(ground.head()), [(a, b)])[(a, b)] is not None


def test_several_processes_keep_answers_at_once(ground: Scratch) -> None:
    commits = [change(ground, f"c{n}", lambda n=n: ground.write("new", f"{n}\n")) for n in range(5)]
    main = ground.head()
    program = (
        "import sys, itertools; from pathlib import Path; from br3.repo.runner import Git\n"
        "from br3.dispatch.conflict_answers import Answers\n"
        "where, main, *ids = sys.argv[1:]\n"
        "for pair in itertools.combinations(ids, 2): Answers(Git(Path(where))).ask(main, [pair])\n"
    )
    words = [sys.executable, "-c", program, str(ground.common_dir), main]
    children = [subprocess.Popen([*words, *order]) for order in (commits, commits[::-1], commits[2:] + commits[:2])]
    assert [child.wait() for child in children] == [0, 0, 0]
    pairs = [(a, b) for at, a in enumerate(commits) for b in commits[at + 1 :]]
    assert len(Answers(git_of(ground)).newest(pairs)) == len(pairs)


def manual(repo: Scratch, *builds: str, extra: str = "") -> None:
    """A plan of manual builds, of which all but those that begin with ``late`` are begun."""
    text = '[plan]\nname = "by-hand"\n[defaults]\nagent = "manual"\n[verify]\nrun = ["true"]\n'
    for build in builds:
        text += f'[[build]]\nid = "{build}"\nprompt = "x"\n{extra}[build.verify]\nrun = ["true"]\n'
    repo.plan(text)
    repo.br3("up", "--trust", *(build for build in builds if not build.startswith("late")))


def does(repo: Scratch, build: str, name: str, text: str, *, commit: bool = True) -> None:
    repo.write(name, text, root=repo.worktree(build))
    if commit:
        repo.commit(build, cwd=repo.worktree(build))


def pairs_of(said: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(pair["a"], pair["b"]): pair for pair in said["pairs"]}


def test_all_pairs_are_told_with_the_order_that_puts_the_fewest_aside(repo: Scratch) -> None:
    manual(repo, "a", "b", "c", "late")
    does(repo, "a", "one", "a\n", commit=False)
    does(repo, "a", "two", "a\n")
    does(repo, "b", "one", "b\n")
    does(repo, "c", "two", "c\n")
    found = repo.br3("conflicts", "--json").json
    pairs = pairs_of(found)
    assert list(pairs) == [
        *(("main", build) for build in ("a", "b", "c", "late")),
        *(("a", "b"), ("a", "c"), ("a", "late"), ("b", "c"), ("b", "late"), ("c", "late")),
    ]
    assert pairs[("a", "b")] == {
        "a": "a",
        "b": "b",
        "conflict": True,
        "files": ["one"],
        "kinds": {"add/add": ["one"]},
        "uncommitted": [],
    }
    assert pairs[("b", "c")]["conflict"] is False and pairs[("b", "late")]["conflict"] is None
    assert [build["state"] for build in found["builds"]] == ["work", "work", "work", "not begun"]
    assert found["order"] == ["b", "c", "a"] and found["aside"] == [{"id": "a", "with": ["b", "c"]}]
    said = repo.br3("conflicts").out.splitlines()
    assert [line.split() for line in said[2:7]] == [
        ["main", "1", "2", "3"],
        ["1", "a", "·"],
        ["2", "b", "·", "1"],
        ["3", "c", "·", "1", "·"],
        ["4", "late", "–", "–", "–", "–", "not", "begun"],
    ]
    assert "b × a: one (add/add)" in said and "c × a: two (add/add)" in said
    assert "the fewest conflicts, when they land as b → c" in said
    assert "put aside then: a (conflicts with b and c)" in said
    does(repo, "b", "README.md", "b\n")
    does(repo, "b", "README.md", "b\n", commit=False)
    repo.write("README.md", "main\n")
    repo.commit("main goes on")
    assert "b × main: README.md (content)" in repo.br3("conflicts").out


def test_what_is_uncommitted_counts_and_is_marked_and_the_index_stays(repo: Scratch) -> None:
    manual(repo, "a", "b")
    does(repo, "a", "one", "a\n")
    does(repo, "b", "one", "b\n", commit=False)
    repo.git("add", "--intent-to-add", "one", cwd=repo.worktree("b"))
    does(repo, "b", "two", "b\n", commit=False)
    repo.git("add", "two", cwd=repo.worktree("b"))
    does(repo, "b", "two", "other\n", commit=False)
    index = Path(repo.git("rev-parse", "--path-format=absolute", "--git-path", "index", cwd=repo.worktree("b")))
    status = repo.git("status", "--porcelain", cwd=repo.worktree("b"))
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    objects = repo.git("count-objects", "-v")
    found = repo.br3("conflicts", "--json").json
    assert pairs_of(found)[("a", "b")]["uncommitted"] == ["one"]
    assert found["builds"][1]["uncommitted"] == ["one", "two"] and found["builds"][1]["state"] == "work"
    assert "b × a: one (add/add, uncommitted in b)" in repo.br3("conflicts").out
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    assert repo.git("status", "--porcelain", cwd=repo.worktree("b")) == status
    assert repo.git("count-objects", "-v") == objects
    assert repo.br3("status", "--json").json["conflicts"] == [], "it may still change"


def test_a_conflict_that_is_committed_and_one_that_is_not_are_told_apart(repo: Scratch) -> None:
    manual(repo, "a", "b")
    for build in ("a", "b"):
        does(repo, build, "one", f"{build}\n")
    does(repo, "a", "two", "a\n")
    does(repo, "b", "two", "b\n", commit=False)
    assert pairs_of(repo.br3("conflicts", "--json").json)[("a", "b")]["uncommitted"] == ["two"]
    does(repo, "b", "one", "a\n", commit=False)
    pair = pairs_of(repo.br3("conflicts", "--json").json)[("a", "b")]
    assert pair["files"] == ["two"], "what is uncommitted may also mend"


def test_what_set_up_left_is_nobody_s_work(repo: Scratch) -> None:
    text = '[plan]\nname = "p"\n[setup]\nrun = ["printf made > generated"]\n[defaults]\nagent = "manual"\n'
    for build in ("a", "b"):
        text += f'[[build]]\nid = "{build}"\nprompt = "x"\n[build.verify]\nrun = ["true"]\n'
    repo.plan(text)
    repo.br3("up", "--trust")
    does(repo, "a", "generated", "a\n")
    does(repo, "b", "other", "b\n", commit=False)
    assert pairs_of(repo.br3("conflicts", "--json").json)[("a", "b")]["conflict"] is False


def test_a_worktree_on_another_branch_is_named_and_only_its_build_s_branch_counts(repo: Scratch) -> None:
    manual(repo, "a", "b")
    does(repo, "a", "one", "a\n")
    repo.git("checkout", "--quiet", "-b", "elsewhere", cwd=repo.worktree("b"))
    does(repo, "b", "one", "b\n", commit=False)
    said = repo.br3("conflicts").out
    assert "b: its worktree is on the branch elsewhere" in said and "×" not in said


def test_what_has_landed_is_no_part_of_it(repo: Scratch) -> None:
    manual(repo, "a", "b")
    does(repo, "a", "one", "a\n")
    does(repo, "b", "one", "b\n")
    repo.br3("verify", "a", "b")
    repo.br3("merge", "a")
    found = repo.br3("conflicts", "--json").json
    assert list(pairs_of(found)) == [("main", "b")] and found["builds"][0]["state"] == "landed"
    said = repo.br3("conflicts").out
    assert "b × main: one (add/add)" in said and "landed: a" in said
    assert "none of them can land on main as it is\nput aside: b (conflicts with main)" in said
    assert [pair["a"] for pair in repo.status()["conflicts"]] == ["main"]


def test_before_anything_was_begun_it_says_what_to_do(repo: Scratch) -> None:
    said = repo.br3("conflicts", code=2)
    assert "nothing has been run in this repository yet" in said.err


def test_nothing_yet_is_told_as_that(repo: Scratch) -> None:
    manual(repo, "a", "b")
    said = repo.br3("conflicts").out
    assert said.count("no changes") == 2 and "no build has changed anything yet" in said


def test_status_names_conflicts_until_they_are_gone(repo: Scratch) -> None:
    manual(repo, "a", "b", "c")
    does(repo, "a", "one", "a\n")
    does(repo, "b", "one", "b\n")
    repo.br3("conflicts")
    told = "b: would conflict with a in one (add/add)"
    assert told in repo.br3("status").out and told in repo.br3("status", "a").out
    assert "would conflict" not in repo.br3("status", "c").out
    (pair,) = repo.status()["conflicts"]
    assert (pair["a"], pair["b"], pair["files"]) == ("a", "b", ["one"])
    does(repo, "b", "one", "a\n")
    assert "would conflict" not in repo.br3("status").out
    assert repo.status()["conflicts"] == []


def test_status_pays_one_process_for_conflicts_when_there_are_none(repo: Scratch) -> None:
    from br3.dispatch.conflicts import known_conflicts

    manual(repo, "a", "b")
    does(repo, "a", "one", "a\n")
    repo.br3("conflicts")
    session = latest(discover(repo.path))
    before = runner.calls
    assert known_conflicts(session) == []
    assert runner.calls - before == 1


def predicted(repo: Scratch) -> list[Any]:
    return repo.events("conflict.predicted")


def test_a_run_tells_of_a_conflict_while_others_are_at_work(repo: Scratch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    source = f"import os, time\nwhile not os.path.exists({str(go)!r}):\n    time.sleep(0.05)\n"
    waiting = f"{script(tmp_path, 'wait.py', source)}; {writing('three')}"
    repo.plan(shell_plan({"a": writing("one", "a"), "b": writing("one", "b"), "c": waiting}))
    run = repo.start("run", "--trust")
    (event,) = until(lambda: predicted(repo))
    assert "b: would conflict with a in one (add/add)" in repo.br3("status").out
    go.touch()
    _, err = run.communicate()
    assert run.returncode == 0
    assert (event.build, event.severity, event.data["with"]) == ("b", "warning", "a")
    assert event.data["files"] == ["one"] and event.data["kinds"] == {"add/add": ["one"]}
    assert event.data["commits"] == [repo.head("build/a"), repo.head("build/b")]
    assert "would conflict with a in one (add/add)" in err
    assert len(predicted(repo)) == 1


def test_a_run_that_is_short_looks_once_at_its_end(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("one", "a"), "b": writing("one", "b")}))
    repo.br3("run", "--trust")
    assert len(predicted(repo)) == 1


def test_a_restart_repeats_nothing_and_a_look_at_the_same_tips_is_one_process(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("one", "a"), "b": writing("one", "b")}))
    repo.br3("run", "--trust")
    watch = ConflictWatch(latest(discover(repo.path)))
    watch.look()
    assert len(predicted(repo)) == 1
    before = runner.calls
    watch.look()
    assert runner.calls - before == 1
    does(repo, "b", "README.md", "b\n")
    watch.look()
    assert len(predicted(repo)) == 1, "another commit, the same conflict"
    does(repo, "a", "README.md", "a\n")
    watch.look()
    assert [event.data["files"] for event in predicted(repo)] == [["one"], ["README.md", "one"]]


def test_what_was_squashed_into_base_is_no_longer_compared(repo: Scratch) -> None:
    commands = {"a": writing("one", "a"), "b": writing("one", "b"), "c": writing("two")}
    repo.plan(shell_plan(commands, extra='strategy = "squash"'))
    repo.br3("run", "--trust")
    repo.br3("merge", "a")
    assert repo.git("merge-base", "main", "build/a") != repo.head("build/a")
    ConflictWatch(latest(discover(repo.path))).look()
    assert [(event.data["with"], event.build) for event in predicted(repo)] == [("a", "b"), ("main", "b")]
    assert [pair["a"] for pair in repo.status()["conflicts"]] == ["main"]
    does(repo, "c", "one", "c\n")
    ConflictWatch(latest(discover(repo.path))).look()
    assert [event.data["with"] for event in predicted(repo) if event.build == "c"] == ["main", "b"]


def test_a_build_on_top_of_what_it_needs_has_no_conflict_of_its_own_yet(repo: Scratch) -> None:
    repo.plan(
        shell_plan({"a": writing("one", "a"), "b": writing("one", "b")})
        + '[[build]]\nid = "c"\nneeds = ["a"]\nagent = "manual"\nprompt = "x"\n[build.verify]\nrun = ["true"]\n'
    )
    repo.br3("run", "--trust")
    assert [(event.data["with"], event.build) for event in predicted(repo)] == [("a", "b")]


@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_watch_shows_what_changes_until_it_is_interrupted(repo: Scratch, as_json: bool, tmp_path: Path) -> None:
    manual(repo, "a", "b")
    does(repo, "a", "one", "a\n")
    out = tmp_path / "out"
    words = [sys.executable, "-P", "-m", "br3", "conflicts", "--watch", *(["--json"] if as_json else [])]
    with open(out, "wb") as sink:
        process = subprocess.Popen(words, cwd=repo.path, stdin=subprocess.DEVNULL, stdout=sink, start_new_session=True)

    def told(text: str) -> bool:
        return text in (out.read_text().splitlines()[-1] if as_json else out.read_text())

    try:
        until(lambda: out.read_text().endswith("\n"))
        does(repo, "b", "one", "b\n", commit=False)
        until(lambda: told('"uncommitted": ["one"]' if as_json else "b × a: one (add/add, uncommitted in b)"))
        (repo.worktree("b") / "one").unlink()
        until(lambda: told('"a": "a", "b": "b", "conflict": null' if as_json else "b × a: no conflict any more"))
    finally:
        # As Ctrl-C, which a shell has its background jobs ignore, and with them all that the tests start.
        process.terminate()
        code = process.wait()
    assert code == 0
    if as_json:
        assert {json.loads(line)["schema"] for line in out.read_text().splitlines()} == {1}
    else:
        assert out.read_text().count("run ") == 1, "the picture once, then what changes"


def test_a_branch_that_goes_while_it_is_looked_at_ends_no_run(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": f"{writing('one')}; git branch -m build/a elsewhere", "b": writing("two")}))
    repo.br3("run", "--trust", code=None)
    assert repo.events("run.completed", "run.failed")


def test_names_that_are_no_text_come_through(repo: Scratch) -> None:
    manual(repo, "a", "b")
    for build in ("a", "b"):
        with open(os.fsencode(repo.worktree(build)) + b"/\xff\n\x07name", "w") as file:
            file.write(build)
        repo.commit(build, cwd=repo.worktree(build))
    (pair,) = (pair for pair in repo.br3("conflicts", "--json").json["pairs"] if pair["conflict"])
    assert len(pair["files"]) == 1
    assert "\x07" not in repo.br3("conflicts").out and "\x07" not in repo.br3("status").out
