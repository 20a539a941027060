"""``br3 release``, ``clean`` and ``finish``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Scratch, making, script, shell_plan, toml, until, writing

RELEASE = '[release]\ntag = "v1.0.0"\nmessage = "First"\n'


@pytest.fixture
def landed(repo: Scratch) -> Scratch:
    """Two builds have landed; the plan names a tag and no push."""
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}) + RELEASE)
    repo.br3("run", "--trust")
    repo.br3("merge")
    return repo


@pytest.fixture
def remote(landed: Scratch, tmp_path: Path) -> Scratch:
    """A bare remote called origin, with main as it was before."""
    path = tmp_path / "remote.git"
    landed.git("init", "--quiet", "--bare", str(path))
    landed.git("remote", "add", "origin", str(path))
    landed.git("push", "--quiet", "origin", "main~2:refs/heads/main")
    return Scratch(path)


def test_the_tag_is_annotated_and_says_what_landed(landed: Scratch) -> None:
    data = landed.br3("release", "--json").json
    assert (data["tag"], data["version"], data["pushed"]) == ("v1.0.0", "1.0.0", False)
    assert data["commit"] == landed.head() == landed.head("v1.0.0^{commit}")
    assert landed.git("cat-file", "-t", "v1.0.0") == "tag"
    message = landed.git("tag", "--list", "--format=%(contents)", "v1.0.0")
    assert message.startswith("First\n\nLanded on main:\n\n- a: a\n- b: b")


def test_nothing_is_pushed_unless_asked(remote: Scratch, landed: Scratch) -> None:
    before = remote.git("for-each-ref")
    landed.br3("finish")
    assert remote.git("for-each-ref") == before


def test_base_and_tag_are_pushed_together_when_asked(remote: Scratch, landed: Scratch) -> None:
    assert landed.br3("release", "--push", "--json").json["pushed"]
    assert remote.head("main") == landed.head() == remote.head("v1.0.0^{commit}")
    assert "build" not in remote.git("for-each-ref")


def test_push_in_the_plan_is_asking(repo: Scratch, tmp_path: Path) -> None:
    repo.git("init", "--quiet", "--bare", str(tmp_path / "r.git"))
    repo.git("remote", "add", "upstream", str(tmp_path / "r.git"))
    repo.plan(shell_plan({"a": writing("a")}) + RELEASE + 'push = true\nremote = "upstream"\n')
    repo.br3("run", "--trust")
    repo.br3("finish")
    assert Scratch(tmp_path / "r.git").head("v1.0.0^{commit}") == repo.head()


def test_a_rejected_push_changes_nothing_there_and_the_same_command_then_only_pushes(
    remote: Scratch, landed: Scratch
) -> None:
    before = remote.git("for-each-ref")
    hook = remote.write("hooks/update", '#!/bin/sh\ncase "$1" in refs/tags/*) echo NO TAGS >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    said = landed.br3("release", "--push", code=1)
    assert "did not take the push" in said.err and "NO TAGS" in said.err and "br3 release --push" in said.err
    assert remote.git("for-each-ref") == before
    tag = landed.head("v1.0.0")
    hook.unlink()
    landed.br3("release", "--push")
    assert remote.head("v1.0.0") == tag
    assert len(landed.events("release.tagged")) == 1


def test_a_tag_of_somebody_else_s_is_refused(landed: Scratch) -> None:
    landed.git("tag", "v1.0.0", "main~1")
    said = landed.br3("release", code=3)
    assert "the tag v1.0.0 exists already" in said.err and "br3 release --tag" in said.err


def test_a_missing_remote_leaves_no_tag_behind(landed: Scratch) -> None:
    said = landed.br3("release", "--push", code=2)
    assert "there is no remote 'origin'; nothing was tagged or pushed" in said.err
    assert landed.git("tag", "--list") == ""


def test_nothing_landed_is_nothing_to_tag(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + RELEASE)
    repo.br3("run", "--trust")
    assert "br3 merge" in repo.br3("release", code=1).err
    assert repo.git("tag", "--list") == ""


def test_releasing_twice_is_releasing_once(landed: Scratch) -> None:
    landed.br3("release")
    tag = landed.head("v1.0.0")
    assert "tagged already" in landed.br3("release").out
    assert landed.head("v1.0.0") == tag


def test_clean_removes_landed_worktrees_and_branches(landed: Scratch) -> None:
    landed.br3("clean")
    assert landed.git("branch", "--format=%(refname:short)").split() == ["main"]
    assert len(landed.git("worktree", "list").splitlines()) == 1
    assert not landed.worktree("a").parent.exists()
    assert all(b["landed"] for b in landed.status()["builds"].values())


@pytest.mark.parametrize("work", ["unlanded", "uncommitted", "both landed and uncommitted"])
def test_clean_refuses_to_lose_work_and_names_it(repo: Scratch, work: str) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    repo.br3("merge", "b") if work == "unlanded" else repo.br3("merge")
    if "uncommitted" in work:
        repo.write("precious", "x", root=repo.worktree("a"))
    said = repo.br3("clean", code=3)
    expected = "1 commit on build/a not landed" if work == "unlanded" else "precious"
    assert expected in said.err
    assert repo.worktree("a").exists() and repo.git("branch", "--list", "build/a")
    assert not repo.worktree("b").exists()


def test_clean_by_force_names_what_is_given_up_and_needs_the_builds_names(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    tip = repo.head("build/a")
    repo.br3("clean", "--force", code=2)
    said = repo.br3("clean", "--force", "a")
    assert f"git branch build/a {tip}" in said.out
    assert not repo.worktree("a").exists() and repo.worktree("b").exists()
    repo.git("branch", "build/a", tip)


def test_clean_leaves_a_build_at_work_alone(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    wait = script(tmp_path / "tools", "w.py", "import time; time.sleep(600)\n")
    repo.plan(shell_plan({"a": wait}))
    process = repo.start("run", "--trust")
    until(lambda: repo.events("attempt.started"))
    assert "still being worked on" in repo.br3("clean", code=3).err
    assert "still being worked on" in repo.br3("clean", "--force", "a", code=3).err
    process.terminate()
    process.communicate()


def test_set_up_s_droppings_do_not_stop_a_clean_up(repo: Scratch) -> None:
    command = f"{making('.venv')}; {making('pkg/__pycache__')}; : > .venv/x"
    repo.plan(shell_plan({"a": writing("a")}) + f"[setup]\nrun = [{toml(command)}]\n")
    repo.br3("run", "--trust")
    repo.br3("merge")
    repo.br3("clean")
    assert not repo.worktree("a").exists()


CRITERIA = """
[[criterion]]
name = "the file is there"
run = "test -e a"
[[criterion]]
name = "it is blue"
run = "echo it is red; exit 1"
[[criterion]]
name = "people like it"
ask = "Do you like it?"
[[criterion]]
name = "costs"
sql = "SELECT 1"
"""


def test_finish_does_it_all_and_goes_through_the_checklist(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + RELEASE + CRITERIA)
    repo.br3("run", "--trust")
    said = repo.br3("finish", code=1)
    assert "✓ the file is there" in said.out
    assert "✗ it is blue  `echo it is red; exit 1` → 1: it is red" in said.out
    assert "? people like it" in said.out
    assert "✓ costs  `SELECT 1` → 1" in said.out
    assert repo.head("v1.0.0^{commit}") == repo.head()
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]
    assert repo.git("status", "--porcelain") == ""


def test_finish_stops_before_the_tag_when_a_build_is_put_aside(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("x", "1"), "b": writing("x", "2")}) + RELEASE)
    repo.br3("run", "--trust")
    said = repo.br3("finish", code=1)
    assert "not released" in said.err
    assert repo.git("tag", "--list") == ""


def test_finish_again_goes_on(landed: Scratch) -> None:
    landed.br3("finish")
    again = landed.br3("finish")
    assert "landed earlier: a, b" in again.out and "tagged already" in again.out


def test_finish_as_json_has_every_part(landed: Scratch) -> None:
    data = json.loads(landed.br3("finish", "--json").out)
    assert data.keys() == {"schema", "merge", "release", "clean", "criteria"}


def test_criteria_leave_nothing_in_the_checkout(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + '[[criterion]]\nname = "litters"\nrun = ": > litter"\n')
    repo.br3("run", "--trust")
    repo.br3("finish")
    assert not (repo.path / "litter").exists()
    assert len(repo.git("worktree", "list").splitlines()) == 1
