"""``br3 release``, ``clean`` and ``finish``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Scratch, making, script, shell_plan, toml, until, writing
from tests.integration.keeping import once

RELEASE = '[release]\ntag = "v1.0.0"\nmessage = "First"\n'


@pytest.fixture
def landed(kept_repo: Scratch) -> Scratch:
    """Two builds have landed; the plan names a tag and no push."""

    def land() -> None:
        kept_repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}) + RELEASE)
        kept_repo.br3("run", "--trust")
        kept_repo.br3("merge")

    once(kept_repo, "landed", land)
    return kept_repo


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
    assert message.startswith(
        "First\n\nLanded on main:\n\n- a: a (cost unknown)\n- b: b (cost unknown)\n\nCost: unknown\n"
    )


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
    assert (
        "did not take the push" in said.err and "NO TAGS" in said.err and "br3 release --tag v1.0.0 --push" in said.err
    )
    assert remote.git("for-each-ref") == before
    tag = landed.head("v1.0.0")
    hook.unlink()
    landed.br3("release", "--push")
    assert remote.head("v1.0.0") == tag
    assert len(landed.events("release.tagged")) == 1


def test_a_landing_that_a_tag_of_br3_s_is_on_says_that_the_release_is_taken_back_first(landed: Scratch) -> None:
    landed.br3("release")
    run = landed.status()["run"]
    assert f"br3 release --undo, then br3 merge --undo {run}" in landed.br3("merge", "--undo", run, code=3).err
    landed.git("tag", "mine")
    assert "git revert" in landed.br3("merge", "--undo", run, code=3).err


def test_a_tag_of_somebody_else_s_is_refused(landed: Scratch) -> None:
    landed.git("tag", "v1.0.0", "main~1")
    said = landed.br3("release", code=3)
    assert "the tag v1.0.0 exists already" in said.err and "br3 release --tag" in said.err


def test_a_missing_remote_leaves_no_tag_behind(landed: Scratch) -> None:
    said = landed.br3("release", "--push", code=2)
    assert "there is no remote 'origin'; nothing was tagged or pushed" in said.err
    assert landed.git("tag", "--list") == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("v1.0.0", "the tag v1.0.0 exists already, and is not on main"),
        ("v1.0.0/rc", "git cannot have a tag v1.0.0 beside the tag v1.0.0/rc"),
    ],
)
def test_finish_lands_nothing_where_there_is_no_room_for_its_tag(repo: Scratch, name: str, told: str) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + RELEASE)
    repo.git("tag", name, "HEAD^{tree}")
    repo.br3("run", "--trust")
    before = repo.head()
    assert f"{told}; nothing was landed" in repo.br3("finish", code=3).err
    assert repo.head() == before


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


def test_finish_refuses_a_push_of_no_release_before_anything_lands_and_says_how_one_is_named(
    repo: Scratch, tmp_path: Path
) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    base = repo.head()
    said = repo.br3("finish", "--push", code=2)
    assert "the plan names no release" in said.err and "nothing was landed" in said.err
    assert '[release] bump = "auto" in br3.toml' in said.err and "git push origin main" in said.err
    assert repo.head() == base
    repo.write("br3.toml", (repo.path / "br3.toml").read_text() + RELEASE)
    for command in (["finish", "--push"], ["release"]):
        said = repo.br3(*command, code=2)
        assert "br3.toml has changed since run" in said.err and "br3 run takes it up" in said.err
    repo.br3("merge")
    repo.br3("run")
    assert "tagged  v1.0.0" in repo.br3("release").out


def test_finish_says_which_builds_were_given_up_and_keeps_the_options_in_what_to_do_next(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b"), "c": "exit 1"}) + RELEASE)
    repo.br3("run", "--trust", code=1)
    said = repo.br3("finish", "--no-push", code=1)
    assert "call br3 finish --no-push again, or leave them out: br3 finish --no-push a b" in said.err
    repo.br3("clean", "--force", "c")
    said = repo.br3("finish", "--no-push", code=1)
    assert "not released: c was given up" in said.err
    assert "take it out of the plan, then br3 run and br3 finish --no-push, or leave them out" in said.err
    assert "tagged  v1.0.0" in repo.br3("finish", "--no-push", "a", "b").out


def test_the_first_release_is_the_same_whichever_step_is_asked_for(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")})
    repo.plan(plan + '[release]\nbump = "prerelease"\n')
    repo.br3("run", "--trust")
    base = repo.head()
    assert "no release on main yet that a prerelease could follow" in repo.br3("finish", code=2).err
    assert repo.head() == base
    repo.git("tag", "v1.0.0")
    assert "1.0.0 is no prerelease" in repo.br3("finish", code=2).err
    assert repo.head() == base
    repo.git("tag", "-d", "v1.0.0")
    repo.plan(plan + '[release]\nbump = "patch"\n')
    repo.br3("run")
    assert "tagged  v0.1.0 at" in repo.br3("finish").out


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
