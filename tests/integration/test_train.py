"""The train as a user sees it: who is put aside and why, what moves under it, how it lands, and what takes it back."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import PYTHON, Scratch, processes_with, shell_plan, until, writing
from tests.integration.killing import git_that_kills, git_that_kills_at
from tests.integration.trains import CHECK, Made, lay, made, verified


@dataclass(frozen=True)
class Gate:
    """A place where tests of a candidate wait: ``words`` go into the verification."""

    path: Path

    @property
    def words(self) -> str:
        path = shlex.quote(str(self.path))
        return f": > {path}-reached; until test -e {path}; do {PYTHON} -c 'import time; time.sleep(0.02)'; done"

    def reached(self) -> None:
        until(lambda: Path(f"{self.path}-reached").exists())

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def merge(repo: Scratch, *words: str, code: int | None = 0) -> dict:  # type: ignore[type-arg]
    return repo.br3("merge", "--json", "--trust", *words, code=code).json


def aside(data: dict) -> dict[str, dict]:  # type: ignore[type-arg]
    return {one["id"]: one for one in data["aside"]}


def files(repo: Scratch, ref: str = "main") -> set[str]:
    return set(repo.git("ls-tree", "--name-only", ref).split())


def no_scratch(repo: Scratch) -> bool:
    return not any("br3-train" in line for line in repo.git("worktree", "list").splitlines())


class TestCulprits:
    def test_a_renamed_function_and_a_caller_of_its_old_name_do_not_both_land(self, repo: Scratch) -> None:
        repo.write("lib.py", "def old():\n    return 1\n")
        repo.write("test_lib.py", _unittest("lib", "old"))
        repo.commit()
        renames = {"lib.py": "def new():\n    return 1\n", "test_lib.py": _unittest("lib", "new")}
        calls = {"caller.py": "import lib\n\n\ndef twice():\n    return lib.old() * 2\n"}
        calls["test_caller.py"] = _unittest("caller", "twice", 2)
        run = f"{PYTHON} -B -m unittest -q"
        lay(repo, made("rename", "other", "call", "more", rename=renames, call=calls), verify=run)
        data = merge(repo, code=1)
        assert data["landed"] == ["rename", "other", "more"]
        put = aside(data)["call"]
        assert put["with"] == ["rename"]
        assert put["reason"].startswith("passes alone, fails with rename: ")
        assert "has no attribute 'old'" in Path(put["log"]).read_text()
        done = subprocess.run([sys.executable, "-B", "-m", "unittest", "-q"], cwd=repo.path, capture_output=True)
        assert done.returncode == 0
        said = repo.br3("status")
        assert "passes alone, fails with rename" in said.out

    @pytest.mark.parametrize("words", [(), ("--one-by-one",)])
    def test_three_culprits_of_eight_are_put_aside_and_five_land(self, repo: Scratch, words: tuple[str, ...]) -> None:
        bad = {name: {f"bad-{name}": "x\n"} for name in ("b", "e", "f")}
        lay(repo, made(*"abcdefgh", **bad), landing="window = 3")
        data = merge(repo, *words, code=1)
        assert data["landed"] == list("acdgh")
        assert all(put["cause"] == "verification" for put in aside(data).values())
        assert all("fails the plan's by itself" in put["reason"] for put in aside(data).values())
        assert sorted(aside(data)) == ["b", "e", "f"]

    def test_what_needs_a_culprit_goes_with_it_and_is_not_in_what_lands(self, repo: Scratch) -> None:
        builds = [
            *made("a", "b", b={"b": "b\n", "bad-b": "x\n"}),
            Made("c", [{"c": "c\n"}], needs=("b",)),
            Made("d", [{"d": "d\n"}], needs=("c",)),
            *made("e"),
        ]
        lay(repo, builds)
        data = merge(repo, code=1)
        assert data["landed"] == ["a", "e"]
        assert {name: put["cause"] for name, put in aside(data).items()} == {
            "b": "verification",
            "c": "needs",
            "d": "needs",
        }
        assert not files(repo) & {"b", "c", "d"}

    def test_a_build_that_passes_only_with_a_later_one_lands_with_it(self, repo: Scratch, gate: Gate) -> None:
        check = 'for f in wants-*; do test ! -e "$f" || test -e "${f#wants-}" || exit 1; done'
        late = f"test ! -e d || {{ {gate.words}; }}"  # the whole takes longer than what fails
        lay(repo, made(*"abcd", b={"b": "b\n", "wants-c": "x\n"}), verify=f"{check}; {late}")
        process = repo.start("merge", "--json", "--trust")
        until(lambda: len(repo.events("quality.failed")) > 1)
        gate.open()
        out, _ = process.communicate()
        assert json.loads(out)["landed"] == list("abcd")
        (noted,) = repo.events("landing.needs_later")
        assert (noted.data["builds"], noted.data["passes_in"]) == (["a", "b"], list("abcd"))
        assert not repo.events("landing.flaky", "landing.aside")

    def test_tests_that_fail_the_first_time_only_are_noted_and_the_build_lands(
        self, repo: Scratch, tmp_path: Path
    ) -> None:
        seen = shlex.quote(str(tmp_path / "seen"))
        lay(repo, made("a"), verify=f"test -e {seen} || {{ : > {seen}; exit 1; }}")
        data = merge(repo)
        assert (data["landed"], data["test_runs"]) == (["a"], 2)
        assert [e.data["builds"] for e in repo.events("landing.flaky")] == [["a"]]

    def test_what_failed_twice_is_known_until_it_is_asked_for_again(self, repo: Scratch, tmp_path: Path) -> None:
        mended = tmp_path / "mended"
        before = repo.head()
        lay(repo, made("a"), verify=f"test -e {shlex.quote(str(mended))}")
        merge(repo, code=None)
        first = len(repo.events("quality.failed"))
        mended.touch()
        said = repo.br3("merge", "--trust", code=1)
        assert "br3 merge --again" in said.all
        assert len(repo.events("quality.failed")) == first
        assert repo.head("main~1") == before  # only the plan's commit is on it
        assert merge(repo, "--again")["landed"] == ["a"]

    def test_a_base_that_fails_blames_no_build(self, repo: Scratch) -> None:
        repo.write("bad-base", "x\n")
        repo.commit()
        lay(repo, made(*"abc"))
        before = repo.head()
        said = repo.br3("merge", "--trust", code=1)
        assert "main itself fails the verification" in said.err
        assert "mend main" in said.err and "br3 merge --again" in said.err
        assert repo.head() == before and not repo.events("landing.aside")
        assert all(not build["aside"] for build in repo.status()["builds"].values())

    def test_minima_are_held_against_what_lands_and_not_against_parts_of_it(self, repo: Scratch) -> None:
        count = 'n=0; for f in test-*; do n=$((n + 1)); done; echo "Ran $n tests in 0.1s"; echo; echo OK'
        each = {name: {f"test-{name}": "x\n"} for name in "abcd"}
        lay(repo, made(*"abcd", **each), verify=f"{CHECK}; {count}", minimum=4)
        data = merge(repo, "--one-by-one")
        assert data["landed"] == list("abcd")

    def test_less_than_the_minimum_lands_nothing_and_says_what_was_put_aside(self, repo: Scratch) -> None:
        count = 'n=0; for f in test-*; do n=$((n + 1)); done; echo "Ran $n tests in 0.1s"; echo; echo OK'
        each = {name: {f"test-{name}": "x\n"} for name in "abcd"} | {"b": {"test-b": "x\n", "bad-b": "x\n"}}
        lay(repo, made(*"abcd", **each), verify=f"{CHECK}; {count}", minimum=4)
        before = repo.head()
        said = repo.br3("merge", "--trust", code=1)
        assert "a, c, d would land, but: 3 tests passed, min_passed = 4" in said.err
        assert "put aside before: b: " in said.err
        assert repo.head() == before


def _unittest(module: str, function: str, value: int = 1) -> str:
    return (
        f"import unittest\n\nimport {module}\n\n\nclass Test(unittest.TestCase):\n"
        f"    def test_it(self):\n        self.assertEqual({module}.{function}(), {value})\n"
    )


class TestWhatMovesMeanwhile:
    def test_of_two_merges_at_once_one_lands_and_the_other_says_why_not(self, repo: Scratch, gate: Gate) -> None:
        lay(repo, made(*"abc"), verify=gate.words)
        first = repo.start("merge", "--json", "--trust")
        gate.reached()
        said = repo.br3("merge", "--trust", code=3)
        assert f"a landing or a release on main is under way in process {first.pid}" in said.err
        assert f"a landing or a release on main is under way in process {first.pid}" in repo.br3("status").out
        gate.open()
        first.communicate()
        assert first.returncode == 0
        assert merge(repo)["already_landed"] == list("abc")
        assert len(repo.events("landing.moved")) == 1

    @pytest.mark.parametrize("checked_out", [False, True])
    def test_a_push_to_base_meanwhile_is_kept_and_the_train_made_again(
        self, repo: Scratch, gate: Gate, tmp_path: Path, checked_out: bool
    ) -> None:
        lay(repo, made(*"abc"), verify=gate.words)
        repo.git("config", "receive.denyCurrentBranch", "updateInstead")
        if not checked_out:
            repo.git("switch", "--quiet", "--create", "elsewhere")
        clone = tmp_path / "clone"
        repo.git("clone", "--quiet", str(repo.path), str(clone), "--branch", "main")
        first = repo.start("merge", "--json", "--trust")
        gate.reached()
        repo.write("theirs", "x\n", root=clone)
        theirs = repo.commit("theirs", cwd=clone)
        repo.git("push", "--quiet", "origin", "main", cwd=clone)
        gate.open()
        out, err = first.communicate()
        assert first.returncode == 0, out + err
        assert "main moved meanwhile; making the train again" in err
        assert files(repo) >= {"a", "b", "c", "theirs"}
        assert repo.git("merge-base", "main", theirs) == theirs
        assert repo.git("status", "--porcelain") == ""

    def test_a_base_that_moves_every_time_is_given_up_after_three(self, repo: Scratch) -> None:
        where = shlex.quote(str(repo.path))
        moving = f"cd {where} && echo x >> moving && git add moving && git commit -q -m moving"
        lay(repo, made("a"), verify=moving)
        said = repo.br3("merge", "--trust", code=1)
        assert "main moved 3 times while the train was verified" in said.err
        assert "a" not in files(repo)


def theirs(repo: Scratch, there: Scratch) -> None:
    """Push base, and somebody else's commit on top of it."""
    repo.git("push", "--quiet")
    there.git("pull", "--quiet")
    there.write("theirs", "x\n")
    there.commit("theirs")
    there.git("push", "--quiet")


class TestUpstream:
    @pytest.fixture
    def there(self, repo: Scratch, tmp_path: Path) -> Scratch:
        """A clone of the remote that ``main`` follows, of somebody else's."""
        repo.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "remote.git"))
        repo.git("remote", "add", "origin", str(tmp_path / "remote.git"))
        repo.git("push", "--quiet", "--set-upstream", "origin", "main")
        repo.git("clone", "--quiet", str(tmp_path / "remote.git"), str(tmp_path / "there"))
        return Scratch(tmp_path / "there")

    def test_what_the_upstream_has_more_is_landed_on(self, repo: Scratch, there: Scratch) -> None:
        lay(repo, made("a", "b"), landing="window = 2\nfetch = true")
        theirs(repo, there)
        assert merge(repo)["landed"] == ["a", "b"]
        assert files(repo) >= {"a", "b", "theirs"}
        assert (repo.path / "theirs").exists() and repo.git("status", "--porcelain") == ""
        assert repo.head("origin/main") == there.head()  # nothing is pushed

    def test_a_conflict_with_the_upstream_is_mended_as_it_says(self, repo: Scratch, there: Scratch) -> None:
        lay(repo, made("theirs"), landing="fetch = true")
        theirs(repo, there)
        (put,) = merge(repo, code=1)["aside"]
        assert put["next"] == "in its worktree git merge origin/main, resolve, commit"
        worktree = repo.path.parent / "mended"
        repo.git("worktree", "add", "--quiet", str(worktree), "build/theirs")
        repo.git("merge", "--quiet", "--strategy-option=ours", "origin/main", cwd=worktree)
        assert merge(repo)["landed"] == ["theirs"]

    def test_a_release_is_pushed_on_top_of_what_the_upstream_has_more(self, repo: Scratch, there: Scratch) -> None:
        lay(repo, made("a"), landing='fetch = true\n[release]\ntag = "v1"\npush = true')
        theirs(repo, there)
        done = repo.br3("finish", "--trust", "--json").json
        assert done["merge"]["landed"] == ["a"] and done["release"]["pushed"]
        there.git("pull", "--quiet", "--tags")
        assert there.head() == repo.head() == there.head("v1^{commit}")
        assert files(there) >= {"a", "theirs"}

    def test_what_the_place_that_is_pushed_to_has_more_is_in_the_way_before_anything_lands(
        self, repo: Scratch, there: Scratch, tmp_path: Path
    ) -> None:
        repo.git("clone", "--quiet", "--bare", str(tmp_path / "remote.git"), str(tmp_path / "pushed.git"))
        repo.git("remote", "set-url", "--push", "origin", str(tmp_path / "pushed.git"))
        lay(repo, made("a"), landing='fetch = true\n[release]\ntag = "v1"\npush = true')
        there.commit("theirs")
        there.git("push", "--quiet", str(tmp_path / "pushed.git"), "HEAD:main")
        before = repo.head()
        assert "origin has commits on main that are not here" in repo.br3("finish", "--trust", code=3).err
        assert repo.head() == before

    def test_what_another_remote_has_more_is_in_the_way_of_its_release(
        self, repo: Scratch, there: Scratch, tmp_path: Path
    ) -> None:
        repo.git("clone", "--quiet", "--bare", str(tmp_path / "remote.git"), str(tmp_path / "other.git"))
        repo.git("remote", "add", "other", str(tmp_path / "other.git"))
        lay(repo, made("a"), landing='fetch = true\n[release]\ntag = "v1"\npush = true\nremote = "other"')
        there.commit("theirs")
        there.git("push", "--quiet", str(tmp_path / "other.git"), "HEAD:main")
        before = repo.head()
        said = repo.br3("finish", "--trust", code=3).err
        assert "other has commits on main that are not here" in said
        assert repo.head() == before

    def test_an_upstream_that_moves_during_the_tests_is_landed_on(
        self, repo: Scratch, there: Scratch, gate: Gate
    ) -> None:
        lay(repo, made("a", "b"), landing="window = 2\nfetch = true", verify=gate.words)
        repo.git("push", "--quiet")
        there.git("pull", "--quiet")
        process = repo.start("merge", "--trust")
        gate.reached()
        there.write("theirs", "x\n")
        theirs = there.commit("theirs")
        there.git("push", "--quiet")
        gate.open()
        out, err = process.communicate()
        assert process.returncode == 0, out + err
        assert repo.git("merge-base", "main", theirs) == theirs
        passed = {e.data["tree"] for e in repo.events("quality.passed") if e.build is None}
        assert repo.head("main^{tree}") in passed

    def test_an_upstream_that_moves_every_time_is_given_up(self, repo: Scratch, there: Scratch) -> None:
        push = f"cd {shlex.quote(str(there.path))} && echo x >> f && git add f && git commit -qm f && git push -q"
        lay(repo, made("a"), landing="fetch = true", verify=push)
        repo.git("push", "--quiet")
        there.git("pull", "--quiet")
        before = repo.head()
        said = repo.br3("merge", "--trust", code=1)
        assert "moved 3 times" in said.err
        assert repo.head() == before

    def test_an_upstream_that_has_parted_is_refused(self, repo: Scratch, there: Scratch) -> None:
        there.write("theirs", "x\n")
        there.commit("theirs")
        there.git("push", "--quiet")
        lay(repo, made("a"), landing="fetch = true")
        before = repo.head()
        told = "origin/main as it was last seen: br3 merge fetches it first"
        assert told in repo.br3("merge", "--dry-run").out
        seen = repo.head("origin/main")
        said = repo.br3("merge", "--trust", code=3)
        assert "main and its upstream have parted" in said.err and "git pull --rebase" in said.err
        assert (repo.head("origin/main") == seen, repo.head()) == (False, before)
        assert "main and its upstream have parted" in repo.br3("merge", "--dry-run", code=3).err

    def test_an_upstream_that_cannot_be_reached_lands_nothing(
        self, repo: Scratch, there: Scratch, tmp_path: Path
    ) -> None:
        lay(repo, made("a"), landing="fetch = true")
        shutil.rmtree(tmp_path / "remote.git")
        before = repo.head()
        said = repo.br3("merge", "--trust", code=1)
        assert "could not fetch origin" in said.err and "fetch = false" in said.err
        assert repo.head() == before

    def test_an_upstream_that_is_base_itself_does_not_set_it_to_what_the_remote_has(
        self, repo: Scratch, there: Scratch
    ) -> None:
        lay(repo, made("a"), landing="fetch = true")
        repo.git("config", "remote.origin.fetch", "+refs/heads/*:refs/heads/*")  # as of a mirror
        repo.git("switch", "--quiet", "--detach")
        before = repo.head()
        said = repo.br3("merge", "--trust", code=2)
        assert "refs/heads/main, is a branch of this repository" in said.err
        assert repo.head() == before

    def test_a_base_without_an_upstream_says_how_to_get_one(self, repo: Scratch) -> None:
        lay(repo, made("a"), landing="fetch = true")
        said = repo.br3("merge", "--trust", code=2)
        assert "main has no upstream" in said.err and "git branch -u origin/main main" in said.err


class TestChoice:
    def test_only_and_skip_choose_who_lands(self, repo: Scratch) -> None:
        lay(repo, made(*"abcd"))
        assert merge(repo, "--only", "b", "--only", "c", "--skip", "c")["landed"] == ["b"]
        assert merge(repo, "--skip", "d")["landed"] == ["a", "c"]
        assert not files(repo) & {"d"}
        said = repo.br3("merge", "--only", "nobody", "--trust", code=2)
        assert "nobody" in said.err
        said = repo.br3("merge", "--only", "d", "--skip", "d", "--trust", code=2)
        assert "there is nothing to land: --skip leaves d out" in said.err

    def test_a_dry_run_says_all_and_does_nothing(self, repo: Scratch) -> None:
        conflicting = {name: {"same": f"{name}\n"} for name in "ac"}
        lay(repo, made(*"abcd", **conflicting))
        events, refs = len(repo.events()), repo.git("for-each-ref")
        said = repo.br3("merge", "--dry-run", code=1)
        assert "  1  a  (merge)\n  2  b  (merge)\n  3  d  (merge)\n" in said.out
        assert "c: conflicts with a in same" in said.out
        assert "next: once a has landed, in its worktree git merge main, resolve, commit; then br3 verify c" in said.out
        assert "2 test runs, at once; more only when one fails" in said.out
        data = repo.br3("merge", "--dry-run", "--json", code=1).json
        assert data["foreseen"]["order"] == ["a", "b", "d"]
        assert (data["base_before"], data["landed"]) == (data["base_after"], [])
        assert (len(repo.events()), repo.git("for-each-ref")) == (events, refs)
        assert no_scratch(repo)

    def test_one_by_one_tests_each_prefix_in_turn(self, repo: Scratch) -> None:
        lay(repo, made(*"abc"), landing="window = 3")
        data = merge(repo, "--one-by-one")
        tested = [e.data["builds"] for e in repo.events("quality.passed") if e.build is None]
        assert tested == [["a"], ["a", "b"], ["a", "b", "c"]]
        assert data["test_runs"] == 3


class TestStrategies:
    def test_squashed_builds_are_one_commit_each_and_count_as_landed(self, repo: Scratch) -> None:
        twice = Made("a", [{"a": "a\n"}, {"a-more": "x\n"}], keys='strategy = "squash"\ntitle = "Do A"')
        lay(repo, [twice, *made("b")])
        before = repo.head()
        assert merge(repo)["landed"] == ["a", "b"]
        squashed = repo.git("rev-list", "--first-parent", "--reverse", f"{before}..main").splitlines()[0]
        assert repo.git("log", "-1", "--format=%P", squashed) == before
        assert repo.git("log", "-1", "--format=%an <%ae>", squashed) == "A Tester <tester@example.invalid>"
        message = repo.git("log", "-1", "--format=%B", squashed)
        assert message.startswith("Do A\n\n* a: a\n* a: a-more\n\nBr3-Build: a\nBr3-Run: ")
        status = repo.status()["builds"]
        assert status["a"]["landed"] and status["b"]["landed"]
        assert merge(repo)["already_landed"] == ["a", "b"]
        repo.br3("clean")
        assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]
        assert repo.status()["builds"]["a"]["landed"]

    def test_rebased_builds_make_a_line_and_keep_their_authors_and_dates(self, repo: Scratch) -> None:
        keys = 'strategy = "rebase"'
        lay(repo, [Made("a", [{"a": "a\n"}, {"a2": "x\n"}], keys=keys), Made("b", [{"b": "b\n"}], keys=keys)])
        before = repo.head()
        assert merge(repo)["landed"] == ["a", "b"]
        assert repo.git("rev-list", "--merges", f"{before}..main") == ""
        told = repo.git("log", "--reverse", "--format=%s|%an|%ad", "--date=raw", f"{before}..main").splitlines()
        assert told == ["a: a|a|1700000000 +0100", "a: a2|a|1700000001 +0100", "b: b|b|1700000000 +0100"]
        assert repo.git("log", "-1", "--format=%(trailers:key=Br3-Build,valueonly)").strip() == "b"
        assert merge(repo)["already_landed"] == ["a", "b"]

    def test_a_rebase_whose_middle_commit_conflicts_is_put_aside_with_advice(self, repo: Scratch) -> None:
        keys = 'strategy = "rebase"'
        # It writes what the other one writes, but by way of something else.
        detour = Made("b", [{"same": "other\n"}, {"same": "agreed\n"}, {"b": "b\n"}], keys=keys)
        lay(repo, [Made("a", [{"same": "agreed\n"}], keys=keys), detour])
        data = merge(repo, code=1)
        assert data["landed"] == ["a"]
        reason = aside(data)["b"]["reason"]
        assert reason.startswith("cannot be rebased: its commit ") and "conflicts in same" in reason
        assert "strategy merge or squash can land it" in reason
        assert aside(data)["b"]["files"] == ["same"]

    def test_a_branch_with_merges_of_its_own_can_be_rebased(self, repo: Scratch) -> None:
        keys = 'strategy = "rebase"'
        session = lay(repo, [Made("a", [{"a": "a\n"}], keys=keys), *made("b")])
        branch = session.plan.build("a").branch
        repo.git("switch", "--quiet", "--create", "side", "main")
        repo.write("side", "x\n")
        repo.commit("side")
        repo.git("switch", "--quiet", branch)
        repo.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
        repo.git("switch", "--quiet", "main")
        before = repo.head()
        verified(session, ["a"])
        assert merge(repo)["landed"] == ["a", "b"]
        assert files(repo) >= {"a", "b", "side"}
        assert len(repo.git("rev-list", "--merges", f"{before}..main").split()) == 1  # that of b

    @pytest.mark.parametrize("strategy", ["squash", "rebase"])
    def test_a_build_that_others_need_lands_as_a_merge(self, repo: Scratch, strategy: str) -> None:
        keys = f'strategy = "{strategy}"'
        session = lay(repo, [Made("a", [{"a": "a\n"}], keys=keys), Made("b", [{"b": "b\n"}], needs=("a",), keys=keys)])
        tip = repo.head(session.plan.build("a").branch)
        assert merge(repo)["landed"] == ["a", "b"]
        assert repo.git("merge-base", "main", tip) == tip
        assert repo.git("show", "main:a") == "a"

    def test_commits_are_signed_when_git_is_configured_so(self, repo: Scratch, tmp_path: Path) -> None:
        program = tmp_path / "gpg"
        dashes = "-" * 5
        program.write_text(
            "#!/bin/sh\nwhile read -r line; do :; done\nprintf '\\n[GNUPG:] SIG_CREATED \\n' >&2\n"
            f"echo '{dashes}BEGIN PGP SIGNATURE{dashes}'\necho made-up\necho '{dashes}END PGP SIGNATURE{dashes}'\n"
        )
        program.chmod(0o755)
        squash = Made("b", [{"b": "b\n"}], keys='strategy = "squash"')
        rebase = Made("c", [{"c": "c\n"}, {"c2": "x\n"}], keys='strategy = "rebase"')
        lay(repo, [*made("a"), squash, rebase])
        before = repo.head()
        repo.git("config", "gpg.program", str(program))
        repo.git("config", "commit.gpgSign", "true")
        repo.git("config", "user.signingKey", "me")
        data = merge(repo)
        assert data["landed"] == ["a", "b", "c"]
        new = repo.git("rev-list", "--first-parent", f"{before}..main").split()
        assert len(new) == 4
        assert all("\ngpgsig " in repo.git("cat-file", "commit", commit) for commit in new)
        assert {b for b, facts in repo.status()["builds"].items() if facts["landed"]} == {"a", "b", "c"}


class TestThrowAwayWorktrees:
    def test_set_up_of_a_build_is_there_only_where_the_build_is(self, repo: Scratch) -> None:
        builds = [
            *made("x"),
            Made("a", [{"a": "a\n", "bad-a": "x\n"}], keys='setup = [": > made-by-a"]'),
            *made("y"),
        ]
        check = "if test -e a; then test -e made-by-a; else test ! -e made-by-a; fi"
        lay(repo, builds, verify=f"{check} || exit 7; {CHECK}")
        data = merge(repo, "--one-by-one", code=1)
        assert data["landed"] == ["x", "y"]
        assert "exit code 1" in aside(data)["a"]["reason"]
        failed = repo.events("quality.failed")
        assert failed and all("exit code 1" in e.data["reason"] for e in failed)  # 7 is a set-up out of place

    def test_what_one_candidate_s_tests_leave_is_gone_for_the_next(self, repo: Scratch) -> None:
        repo.write(".gitignore", "*.tmp\ncache/\n")
        repo.commit()
        leave = f'{PYTHON} -c \'import os; os.mkdir("cache"); open("cache/x", "w")\' && : > left.tmp && : > left'
        lay(repo, made(*"abc"), verify=f"test ! -e left.tmp && test ! -e left && {leave}", landing="window = 1")
        data = merge(repo, "--one-by-one")
        assert (data["landed"], data["test_runs"]) == (["a", "b", "c"], 3)

    @pytest.mark.parametrize("words", [(), ("--one-by-one",)])
    def test_files_are_as_a_fresh_checkout_writes_them(self, repo: Scratch, words: tuple[str, ...]) -> None:
        repo.write("text.txt", "one\n")
        repo.commit()
        check = "IFS= read -r line < text.txt; if test -e .gitattributes; then want=4; else want=3; fi"
        attributes = {".gitattributes": "*.txt text eol=crlf\n"}
        ends = {"sub/.gitattributes": "* text\n", "bad-d": "x\n"}
        lay(
            repo,
            made(*"abcde", b=attributes, d=ends),
            verify=f"{check}; test ${{#line}} = $want || exit 7; {CHECK}",
            landing="window = 1",
        )
        assert merge(repo, *words, code=1)["landed"] == list("abce")
        failed = repo.events("quality.failed")
        assert failed and all("exit code 1" in e.data["reason"] for e in failed)

    def test_what_a_hook_makes_at_a_checkout_is_made_of_what_is_tested(self, repo: Scratch) -> None:
        repo.write("source", "of base")
        repo.write(".gitignore", "made\n")
        repo.commit()
        hook = repo.write(".git/hooks/post-checkout", "#!/bin/sh\nread -r line < source\necho $line > made\n")
        hook.chmod(0o755)
        lay(repo, made("a", a={"source": "of a\n"}), verify="read -r line < made; test \"$line\" = 'of a'")
        assert merge(repo)["landed"] == ["a"]

    def test_a_process_that_a_test_leaves_running_is_ended(self, repo: Scratch, tracked: str) -> None:
        lay(repo, made("a"), verify=_leaving("left"))
        merge(repo)
        assert until(lambda: processes_with(tracked) == [])

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_train_leaves_nothing_and_the_next_one_finishes(
        self, repo: Scratch, gate: Gate, tracked: str, number: signal.Signals
    ) -> None:
        lay(repo, made(*"abcd"), verify=f"{_leaving('left')}; {gate.words}")
        before = repo.head()
        process = repo.start("merge", "--trust")
        gate.reached()
        process.send_signal(number)
        out, err = process.communicate()
        assert process.returncode == 130, out + err
        assert until(lambda: processes_with(tracked) == [])
        assert no_scratch(repo) and repo.head() == before
        assert "Traceback" not in err
        gate.open()
        assert merge(repo)["landed"] == list("abcd")

    def test_a_killed_train_s_tests_are_ended_by_the_next(self, repo: Scratch, gate: Gate, tracked: str) -> None:
        lay(repo, made(*"abcd"), verify=gate.words)
        process = repo.start("merge", "--trust")
        gate.reached()
        process.kill()
        process.communicate()
        old = processes_with(tracked)
        assert old
        gate.open()
        assert merge(repo)["landed"] == list("abcd")
        assert not [p for p in old if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert no_scratch(repo)


def _leaving(name: str) -> str:
    """Starts a process in a session of its own, and does not wait for it."""
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
    return f"{PYTHON} -c {shlex.quote(code + 'start_new_session=True)')}"


class TestUndo:
    @pytest.fixture
    def landed(self, repo: Scratch) -> tuple[str, str]:
        """Two landings of one run; base before the first, and before the second."""
        lay(repo, made("a", "b"))
        first = repo.head()
        merge(repo, "a")
        second = repo.head()
        merge(repo, "b")
        return first, second

    def _run(self, repo: Scratch) -> str:
        return str(repo.status()["run"])

    @pytest.mark.parametrize("strategy", ["merge", "squash"])
    def test_builds_whose_branches_were_cleaned_up_can_land_again(self, repo: Scratch, strategy: str) -> None:
        lay(repo, made("a", "b"), landing=f'strategy = "{strategy}"')
        tips = {build: repo.head(f"build/{build}") for build in "ab"}
        merge(repo)
        tree = repo.git("rev-parse", "main^{tree}")
        repo.br3("clean", "a", "b")
        assert repo.git("for-each-ref", "refs/heads/build") == ""
        said = repo.br3("merge", "--undo", self._run(repo)).out
        assert "there again: build/a, build/b; br3 merge lands them again" in said
        assert {build: repo.head(f"build/{build}") for build in "ab"} == tips
        assert merge(repo)["landed"] == ["a", "b"] and repo.git("rev-parse", "main^{tree}") == tree

    def test_each_undo_takes_back_one_landing(self, repo: Scratch, landed: tuple[str, str]) -> None:
        run = self._run(repo)
        repo.write("README.md", "mine\n")
        repo.write("untracked", "mine\n")
        before, last = f"refs/br3/landed/{run}/before", repo.head()
        assert repo.head(before) == landed[1]
        said = repo.br3("merge", "--undo", run)
        assert said.out.startswith("taken back: main: ")
        assert (repo.head(), files(repo) & {"a", "b"}) == (landed[1], {"a"})
        assert repo.head(before) == landed[0]
        assert not (repo.path / "b").exists()
        assert repo.git("status", "--porcelain").splitlines() == [" M README.md", "?? untracked"]
        status = repo.status()["builds"]
        assert (status["a"]["landed"], status["b"]["landed"]) == (True, False)
        repo.br3("merge", "--undo", run)
        assert repo.head() == landed[0]
        assert repo.git("for-each-ref", before) == ""
        assert repo.git("for-each-ref", "--contains", last, "refs/br3")  # though another undo came after its own
        assert "has landed nothing that still stands" in repo.br3("merge", "--undo", run, code=2).err
        assert merge(repo)["landed"] == ["a", "b"]
        assert (repo.path / "README.md").read_text() == "mine\n"

    def test_what_was_cleaned_up_and_taken_back_is_gone_on_with(self, repo: Scratch) -> None:
        repo.plan(shell_plan({"a": writing("a")}))
        repo.br3("run", "--trust")
        tip = repo.head("build/a")
        repo.br3("finish")
        repo.br3("merge", "--undo", self._run(repo))
        repo.br3("up", "a")
        repo.br3("verify", "a")
        assert repo.head("build/a") == tip
        assert merge(repo)["landed"] == ["a"]

    @pytest.mark.parametrize("how", ["commit", "tag", "branch", "remote"])
    def test_what_was_built_on_is_not_taken_back(self, repo: Scratch, landed: tuple[str, str], how: str) -> None:
        if how == "commit":
            repo.write("more", "x\n")
            repo.commit("more")
        elif how == "tag":
            repo.git("tag", "v1")
        elif how == "branch":
            repo.git("branch", "mine")
        else:
            repo.git("update-ref", "refs/remotes/origin/main", "main")
        before = repo.head()
        said = repo.br3("merge", "--undo", self._run(repo), code=3)
        expected = {
            "commit": "main has 1 commit on top of what landed",
            "tag": "refs/tags/v1",
            "branch": "refs/heads/mine",
            "remote": "refs/remotes/origin/main",
        }
        assert expected[how] in said.err
        assert repo.head() == before

    def test_local_changes_in_the_way_are_kept_and_nothing_moves(self, repo: Scratch, landed: tuple[str, str]) -> None:
        repo.write("b", "mine\n")
        before = repo.head()
        said = repo.br3("merge", "--undo", self._run(repo), code=3)
        assert "overlap" in said.err and ": b" in said.err
        assert (repo.head(), (repo.path / "b").read_text()) == (before, "mine\n")

    @pytest.mark.parametrize("back", [1, 2, 3, 5, 8])
    def test_kill_9_in_it_is_finished_by_the_next_command(
        self, repo: Scratch, landed: tuple[str, str], tmp_path: Path, back: int
    ) -> None:
        run = self._run(repo)
        repo.write("README.md", "mine\n")
        twin = Scratch(tmp_path / "twin" / "project")
        shutil.copytree(repo.path, twin.path, symlinks=True)
        counting, count = git_that_kills_at(tmp_path / "counting", 10**9)
        twin.br3("merge", "--undo", run, env=counting)
        killing, _ = git_that_kills_at(tmp_path / "killing", len(count.read_text()) + 1 - back)
        assert repo.br3("merge", "--undo", run, env=killing, code=None).code == -signal.SIGKILL
        moved = repo.head() == landed[1]
        assert moved or repo.head() != landed[0]
        data = merge(repo)
        assert data["landed"] == (["b"] if moved else [])
        if not moved:
            repo.br3("merge", "--undo", run)
            assert repo.head() == landed[1]
            assert merge(repo)["landed"] == ["b"]
        assert files(repo) >= {"a", "b"}
        assert repo.git("status", "--porcelain") == " M README.md"

    @pytest.mark.parametrize("went_on", [False, True])
    def test_a_landing_that_was_killed_when_base_had_just_moved_can_be_undone(
        self, repo: Scratch, tmp_path: Path, went_on: bool
    ) -> None:
        lay(repo, made("a"))
        before = repo.head()
        killing = git_that_kills(tmp_path / "killing", "update-ref --stdin", after=True)
        assert repo.br3("merge", "--trust", env=killing, code=None).code == -signal.SIGKILL
        assert not repo.events("landing.moved")
        if went_on:
            repo.git("read-tree", "-m", "-u", before, "HEAD")
            repo.write("more", "x\n")
            repo.commit("more")
        assert merge(repo)["already_landed"] == ["a"]
        said = repo.br3("merge", "--undo", str(repo.status()["run"]), code=3 if went_on else 0)
        assert "1 commit on top of what landed" in said.err if went_on else repo.head() == before
        assert repo.git("status", "--porcelain") == ""

    @pytest.mark.parametrize("moved", [False, True])
    def test_a_commit_on_top_of_an_undo_that_was_killed_does_not_hide_what_it_came_to(
        self, repo: Scratch, landed: tuple[str, str], tmp_path: Path, moved: bool
    ) -> None:
        run, before = self._run(repo), repo.head()
        killing = git_that_kills(tmp_path / "killing", "update-ref --stdin", after=moved)
        assert repo.br3("merge", "--undo", run, env=killing, code=None).code == -signal.SIGKILL
        if moved:
            repo.git("read-tree", "-m", "-u", before, "HEAD")
        repo.write("more", "x\n")
        repo.commit("more")
        if moved:
            assert merge(repo)["landed"] == ["b"]
            repo.br3("merge", "--undo", run)
        assert "1 commit on top of what landed" in repo.br3("merge", "--undo", run, code=3).err
