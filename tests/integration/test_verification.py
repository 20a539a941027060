"""``br3 verify``: commands, counts, coverage, verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PYTHON, Scratch, making, shell_plan, toml, writing

PASSING = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n    def test_b(self): pass\n"


def verified_by(repo: Scratch, *commands: str, rest: str = "", code: int | None = 0) -> dict:
    listed = ", ".join(toml(c) for c in commands)
    plan = '[plan]\nname = "t"\n[[build]]\nid = "a"\nagent = "shell"\nretries = 0\n'
    plan += f"command = {toml(writing('work'))}\n[build.verify]\nrun = [{listed}]\n{rest}\n"
    repo.write("test_it.py", PASSING)
    repo.plan(plan)
    repo.br3("run", "--trust", code=None)
    return repo.br3("verify", "a", "--json", code=code).json["builds"][0]


def test_pytest_s_counts_come_from_its_junit_file(repo: Scratch) -> None:
    seen = verified_by(repo, f"{PYTHON} -m pytest -q -p no:cacheprovider", rest="min_passed = 2")
    assert (seen["verified"], seen["tests"]) == (True, {"passed": 2, "failed": 0, "skipped": 0})
    assert list(Path(seen["directory"]).glob("*.junit.xml"))


def test_other_runners_are_read_from_their_closing_line(repo: Scratch) -> None:
    seen = verified_by(repo, f"{PYTHON} -m unittest", rest="min_passed = 2")
    assert seen["tests"] == {"passed": 2, "failed": 0, "skipped": 0}


def test_counts_of_several_commands_add_up(repo: Scratch) -> None:
    seen = verified_by(repo, f"{PYTHON} -m unittest", f"{PYTHON} -m pytest -q", rest="min_passed = 4")
    assert seen["tests"]["passed"] == 4


def test_too_few_tests_are_a_failure(repo: Scratch) -> None:
    seen = verified_by(repo, f"{PYTHON} -m unittest", rest="min_passed = 3", code=1)
    assert seen["reason"] == "2 tests passed, min_passed = 3"


def test_a_count_that_cannot_be_read_is_a_failure_that_says_so(repo: Scratch) -> None:
    seen = verified_by(repo, "echo all is well", rest="min_passed = 1", code=1)
    assert "no test count could be read" in seen["reason"]


def test_a_coverage_that_cannot_be_read_is_a_failure_that_says_so(repo: Scratch) -> None:
    seen = verified_by(repo, f"{PYTHON} -m unittest", rest="min_coverage = 10", code=1)
    assert "no coverage could be read" in seen["reason"]


@pytest.mark.parametrize(("least", "code"), [(70, 0), (90, 1)])
def test_coverage_is_held_against_its_minimum(repo: Scratch, least: int, code: int) -> None:
    repo.write("half.py", "def used():\n    return 1\n\n\ndef unused():\n    return 2\n")
    repo.write("test_half.py", "from half import used\n\n\ndef test_it():\n    assert used() == 1\n")
    seen = verified_by(
        repo, f"{PYTHON} -m pytest -q test_half.py --cov=half", rest=f"min_coverage = {least}", code=code
    )
    assert seen["coverage"] == pytest.approx(75)
    if code:
        assert seen["reason"] == "coverage is 75.00 %, min_coverage = 90"


def test_the_first_failing_command_ends_a_verification(repo: Scratch) -> None:
    seen = verified_by(repo, "exit 3", "echo never > ../never", code=1)
    assert [c["exit_code"] for c in seen["commands"]] == [3]
    assert not (repo.worktree("a").parent / "never").exists()


def test_artifacts_are_kept_under_the_run_s_directory(repo: Scratch) -> None:
    seen = verified_by(
        repo, f"{making('out')} && {writing('out/report.txt', 'fine')}", rest='artifacts = ["out", "no"]'
    )
    assert (Path(seen["directory"]) / "artifacts/out/report.txt").read_text() == "fine\n"
    assert seen["warnings"] == ["artifact no is not there"]


def test_what_a_verification_leaves_is_not_work(repo: Scratch) -> None:
    verified_by(repo, writing("coverage.out", "generated"))
    build = repo.status()["builds"]["a"]
    assert (build["verified"], build["uncommitted"]) == (True, [])
    repo.write("coverage.out", "edited by a person", root=repo.worktree("a"))
    build = repo.status()["builds"]["a"]
    assert (build["verified"], build["uncommitted"]) == (False, ["coverage.out"])


def test_a_verdict_belongs_to_the_tree(repo: Scratch) -> None:
    verified_by(repo, "echo ran >> ../ran")
    runs = repo.worktree("a").parent / "ran"
    before = len(runs.read_text().splitlines())
    repo.git("commit", "--quiet", "--amend", "--message", "same tree", cwd=repo.worktree("a"))
    assert repo.status()["builds"]["a"]["verified"]
    repo.write("more", "x", root=repo.worktree("a"))
    repo.commit("another tree", cwd=repo.worktree("a"))
    assert not repo.status()["builds"]["a"]["verified"]
    assert "changed" in repo.br3("status").out
    assert len(runs.read_text().splitlines()) == before


def test_work_that_fails_after_it_was_verified_has_failed_and_says_why(repo: Scratch) -> None:
    verified_by(repo, "test ! -e bad")
    repo.write("bad", "x", root=repo.worktree("a"))
    repo.commit("bad", cwd=repo.worktree("a"))
    assert "its branch has changed since it was verified (br3 verify a)" in repo.br3("status").out
    repo.br3("verify", code=1)
    out = repo.br3("status").out
    assert "a      failed" in out and "a: its verification failed since: `test ! -e bad` ended with exit code 1" in out
    (repo.worktree("a") / "bad").unlink()
    repo.commit("mended", cwd=repo.worktree("a"))
    repo.br3("verify")
    assert "a      verified" in repo.br3("status").out


def test_a_tree_that_passed_is_not_verified_again(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}, verify="echo ran >> ../ran")
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.plan(plan.replace('name = "test"', 'name = "renamed"'))
    repo.br3("run", "--trust")
    assert (repo.worktree("a").parent / "ran").read_text() == "ran\n"


def test_what_has_landed_is_verified(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.br3("merge")
    assert "✓ verified: it has landed already" in repo.br3("verify", "a").out


def test_verify_without_names_takes_what_has_work(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust", "a")
    assert [b["id"] for b in repo.br3("verify", "--json").json["builds"]] == ["a"]


def test_keys_for_models_do_not_reach_a_verification(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}, verify='test -z "$ANTHROPIC_API_KEY$BR3_TRUST"'))
    repo.br3("run", env={"ANTHROPIC_API_KEY": "k", "BR3_TRUST": "1"})


@pytest.mark.parametrize("away", [("switch", "--quiet", "-c", "try"), ("checkout", "--quiet", "--detach")])
def test_what_stands_elsewhere_than_on_the_build_s_branch_is_not_verified(repo: Scratch, away: tuple[str, ...]) -> None:
    repo.write("app", "fine\n")
    check = 'read -r line < app; test "$line" = fine'
    repo.plan(f"[setup]\nrun = []\n[verify]\nrun = [{toml(check)}]\n" + _by_hand(check))
    repo.br3("up", "--trust")
    tree = Scratch(repo.worktree("hand"))
    tree.write("app", "broken\n")
    tree.commit()
    tree.git(*away)
    tree.write("app", "fine\n")
    tree.commit()
    said = repo.br3("verify", "hand", code=1)
    assert "and not on build/hand; next: git -C" in said.out
    landed = repo.br3("merge", "--json", code=1).json
    assert landed["landed"] == [] and "not on build/hand" in landed["aside"][0]["reason"]
    assert repo.git("show", "main:app") == "fine" and repo.events("quality.passed", "quality.failed") == []
    tree.git("switch", "--quiet", "build/hand")
    assert "not verified" in repo.br3("verify", "hand", code=1).out


def test_a_worktree_that_moves_while_it_is_verified_gives_no_verdict(repo: Scratch) -> None:
    repo.plan("[setup]\nrun = []\n" + _by_hand("git commit --quiet --allow-empty -m more"))
    repo.br3("up", "--trust")
    tree = Scratch(repo.worktree("hand"))
    tree.write("app", "x\n")
    tree.commit()
    assert "build/hand moved meanwhile, to" in repo.br3("verify", "hand", code=1).out
    assert repo.events("quality.passed", "quality.failed") == []


def test_work_that_came_while_others_were_verified_is_seen(repo: Scratch) -> None:
    late = f'{PYTHON} -c \'open("../b/late", "w")\''
    repo.plan("[setup]\nrun = []\n" + _by_hand(late, "a") + _by_hand("true", "b"))
    repo.br3("up", "--trust")
    for build in "ab":
        tree = Scratch(repo.worktree(build))
        tree.write("app", build)
        tree.commit()
    said = repo.br3("verify", code=1)
    assert "a  ✓ verified" in said.out and "b  ✗ not verified: uncommitted changes" in said.out


@pytest.mark.parametrize("off", [False, True])
def test_what_a_person_changes_outside_of_what_the_build_owns_is_told(repo: Scratch, off: bool) -> None:
    plan = "[setup]\nrun = []\n" + _by_hand("true").replace("prompt", 'owns = ["src/**"]\nprompt')
    repo.plan(f'[hooks]\noff = ["ownership"]\n{plan}' if off else plan)
    repo.br3("up", "--trust")
    tree = Scratch(repo.worktree("hand"))
    tree.write("src/mine", "x")
    tree.commit()
    repo.write("theirs", "x")
    repo.commit()
    tree.git("merge", "--quiet", "main", "-m", "Follow")  # what others have landed is not this build's
    assert "does not own" not in repo.br3("verify", "hand").all + repo.br3("merge", "--dry-run").all
    tree.write("other", "x")
    tree.commit()
    said = "changes what it does not own: other\n"
    assert (said in repo.br3("verify", "hand").out) is not off
    assert (f"warning: hand {said}" in repo.br3("merge").err) is not off
    assert (repo.path / "other").exists()


def _by_hand(check: str, build: str = "hand") -> str:
    return f'[[build]]\nid = "{build}"\nagent = "manual"\nprompt = "x"\n[build.verify]\nrun = [{toml(check)}]\n'
