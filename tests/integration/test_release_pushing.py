"""The push of a release, what stands in its way, ``br3 release --undo``, and ``kill -9`` at every step of it all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Scratch, until
from tests.integration.killing import git_that_kills
from tests.integration.test_release_making import everything, make

NO_TAGS = '#!/bin/sh\ncase "$1" in refs/tags/*) echo NO TAGS >&2; exit 1;; esac\n'


@pytest.fixture
def landed(kept_repo: Scratch) -> Scratch:
    """A project at v0.3.0 on which two builds have landed; its releases change files."""
    make(kept_repo)
    return kept_repo


@pytest.fixture
def remote(landed: Scratch, tmp_path: Path) -> Scratch:
    """A bare remote called origin, with main as it was when v0.3.0 was tagged."""
    path = tmp_path / "remote.git"
    landed.git("init", "--quiet", "--bare", str(path))
    landed.git("remote", "add", "origin", str(path))
    landed.git("push", "--quiet", "origin", "v0.3.0^{commit}:refs/heads/main", "v0.3.0")
    return Scratch(path)


def hook(remote: Scratch, text: str) -> Path:
    path = remote.write("hooks/update", text)
    path.chmod(0o755)
    return path


def colleague(remote: Scratch, tmp_path: Path) -> None:
    """Somebody else pushes a commit."""
    clone = tmp_path / "colleague"
    remote.git("clone", "--quiet", str(remote.path), str(clone))
    other = Scratch(clone)
    other.write("theirs", "x")
    other.commit("theirs")
    other.git("push", "--quiet", "origin", "main")


def test_a_remote_is_none_of_git_s_options_whatever_it_is_called(landed: Scratch, remote: Scratch) -> None:
    landed.git("remote", "add", "--", "-x", str(remote.path))
    landed.br3("release", "--push", "--remote=-x")
    assert remote.head() == landed.head() == remote.head("v0.4.0^{commit}")


def test_base_and_tag_are_pushed_together(landed: Scratch, remote: Scratch) -> None:
    data = landed.br3("release", "--push", "--json").json
    assert (data["pushed"], data["remote"]) == (True, "origin")
    assert remote.head("main") == landed.head() == remote.head("v0.4.0^{commit}")
    assert "build" not in remote.git("for-each-ref")


@pytest.mark.parametrize("command", [["release", "--push"], ["finish", "--push"], ["release", "--bump=auto", "--push"]])
def test_a_remote_that_rejects_the_tag_has_nothing_of_the_release_and_the_same_command_finishes_it(
    landed: Scratch, remote: Scratch, command: list[str]
) -> None:
    there = remote.git("for-each-ref")
    path = hook(remote, NO_TAGS)
    said = landed.br3(*command, code=1)
    assert "origin did not take the push; nothing changed there, the tag v0.4.0, and main at" in said.err
    assert "NO TAGS" in said.err
    assert remote.git("for-each-ref") == there
    tag, base = landed.head("v0.4.0"), landed.head()
    assert landed.head("v0.4.0^{commit}") == base
    landed.br3(*command, code=1)
    path.unlink()
    landed.br3(*command)
    assert (remote.head("v0.4.0"), remote.head("main")) == (tag, base) == (landed.head("v0.4.0"), landed.head())
    assert len(landed.events("release.tagged")) == 1
    assert "earlier" in landed.br3("release", "--push").out


def test_what_was_named_on_the_command_line_is_pushed_by_the_command_that_is_told(
    landed: Scratch, remote: Scratch
) -> None:
    said = landed.br3("release", "--version=2.0.0").out
    assert "not pushed (br3 release --tag v2.0.0 --push does that)" in said
    landed.br3("release", "--tag", "v2.0.0", "--push")
    assert remote.head("v2.0.0^{commit}") == landed.head() == remote.head("main")


def test_a_push_that_was_rejected_goes_with_what_base_has_gone_on_to(landed: Scratch, remote: Scratch) -> None:
    path = hook(remote, NO_TAGS)
    landed.br3("release", "--push", code=1)
    landed.write("more", "x")
    landed.commit("feat: by hand")
    path.unlink()
    assert landed.br3("release", "--push", "--json").json["tag"] == "v0.4.0"
    assert remote.head("main") == landed.head() != remote.head("v0.4.0^{commit}")
    assert landed.br3("release", "--push", "--json").json["tag"] == "v0.5.0"


def test_a_tag_that_the_remote_has_already_is_refused_before_anything_is_made(landed: Scratch, remote: Scratch) -> None:
    landed.git("push", "--quiet", "origin", "v0.3.0^{commit}:refs/tags/v0.4.0")
    state = everything(landed)
    said = landed.br3("release", "--push", code=3)
    assert "origin has a tag v0.4.0 already" in said.err and "nothing was tagged or pushed" in said.err
    assert "origin has a tag v0.4.0 already" in landed.br3("release", "--push", "--dry-run", code=3).err
    assert everything(landed) == state
    assert landed.br3("release", "--no-push").code == 0


def test_a_base_that_is_behind_the_remote_s_is_refused_before_anything_is_made(
    landed: Scratch, remote: Scratch
) -> None:
    theirs = landed.git("commit-tree", "-m", "theirs", "-p", "v0.3.0", "v0.3.0^{tree}")
    landed.git("push", "--quiet", "origin", f"{theirs}:refs/heads/main")
    state = everything(landed)
    said = landed.br3("release", "--push", code=3)
    assert "origin has commits on main that are not here" in said.err
    assert "git fetch origin && git merge origin/main" in said.err
    assert everything(landed) == state
    said = landed.br3("finish", "--push", code=3)
    assert "origin has commits on main" in said.err


def test_a_release_that_waits_for_its_push_is_not_pushed_past_commits_that_the_remote_has_meanwhile(
    landed: Scratch, remote: Scratch, tmp_path: Path
) -> None:
    landed.br3("release")
    colleague(remote, tmp_path)
    state = everything(landed)
    for _ in range(2):
        for command in (["release", "--push"], ["release", "--push", "--dry-run"], ["finish", "--push"]):
            said = landed.br3(*command, code=3)
            assert "origin has commits on main that are not here" in said.err
            assert "git merge origin/main" in said.err and "git pull" not in said.err
        assert "br3 release --undo" in landed.br3("release", "--push", code=3).err
        assert everything(landed)[1:] == state[1:]
        landed.git("fetch", "--quiet", "origin")  # what the remote has is known now, and in the way all the same
    landed.git("merge", "--quiet", "--no-edit", "origin/main")
    said = landed.br3("release", "--push", code=1)
    assert "nothing to release" in said.err
    assert "v0.4.0 was not pushed: br3 release --tag v0.4.0 --push does that" in said.err
    landed.br3("release", "--tag", "v0.4.0", "--push")
    assert (remote.head("main"), remote.head("v0.4.0")) == (landed.head(), landed.head("v0.4.0"))


def test_a_release_that_waits_for_its_push_can_be_made_anew_on_top_of_what_the_remote_has(
    landed: Scratch, remote: Scratch, tmp_path: Path
) -> None:
    landed.br3("release")
    colleague(remote, tmp_path)
    assert "git fetch origin, br3 release --undo, git merge" in landed.br3("release", "--push", code=3).err
    landed.git("fetch", "--quiet", "origin")
    landed.br3("release", "--undo")
    landed.git("merge", "--quiet", "--no-edit", "origin/main")
    landed.br3("release", "--push")
    assert remote.head("main") == landed.head() == remote.head("v0.4.0^{commit}")


def test_whether_a_release_is_at_the_remote_is_asked_of_the_remote(landed: Scratch, remote: Scratch) -> None:
    landed.br3("release", "--push")
    landed.git("push", "--quiet", "origin", ":refs/tags/v0.4.0")
    assert "pushes   main and v0.4.0 to origin" in landed.br3("release", "--push", "--dry-run").out
    assert "pushed to origin\n" in landed.br3("release", "--push").out
    assert remote.head("v0.4.0") == landed.head("v0.4.0")
    assert "pushed to origin earlier" in landed.br3("release", "--push").out


def test_a_release_that_is_at_the_remote_is_whole_whatever_others_have_put_on_top(
    landed: Scratch, remote: Scratch, tmp_path: Path
) -> None:
    landed.br3("release")
    landed.git("push", "--quiet", "origin", "main", "v0.4.0")
    landed.br3("release", "--push")  # it was pushed by hand, and is known from here on
    colleague(remote, tmp_path)
    assert "pushed to origin earlier" in landed.br3("release", "--push").out
    landed.git("fetch", "--quiet", "origin")
    assert "pushed to origin earlier" in landed.br3("release", "--push").out


def test_releases_that_were_never_pushed_are_named_and_not_sent(landed: Scratch, remote: Scratch) -> None:
    landed.br3("release")
    landed.br3("release", "--bump", "patch")
    said = landed.br3("release", "--bump", "minor", "--push").out
    assert "v0.4.0, v0.4.1 are not there (git push origin v0.4.0 v0.4.1 sends them)" in said
    assert remote.git("tag", "--list").split() == ["v0.3.0", "v0.5.0"]
    landed.git("push", "--quiet", "origin", "v0.4.0")
    assert landed.br3("release", "--push", "--json").json["unsent"] == ["v0.4.1"]
    landed.git("push", "--quiet", "origin", "v0.4.1")
    assert "not there" not in landed.br3("release", "--push").out


def test_an_interrupt_while_it_is_pushed_says_what_is_here_and_how_to_go_on(
    landed: Scratch, remote: Scratch, tmp_path: Path
) -> None:
    seen, gate = tmp_path / "seen", tmp_path / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDWR)
    waits = f'exec 3< "{gate}"\n: > "{seen}"\nread line <&3\n'
    hook(remote, f'#!/bin/sh\ntest -e "{seen}" && exit 1\n{waits}exit 1\n')
    process = landed.start("release", "--push")
    until(seen.exists)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    os.close(held)
    assert process.returncode == 130
    assert f"whether origin has taken v0.4.0 is not known; the tag v0.4.0, and main at {landed.head()[:9]}" in said
    assert "br3 release --tag v0.4.0 --push" in said and "br3 release --undo" in said


def test_a_remote_that_does_not_answer_leaves_nothing_behind(landed: Scratch, remote: Scratch) -> None:
    state = everything(landed)
    remote.path.rename(remote.path.with_name("away"))
    said = landed.br3("release", "--push", code=1)
    assert "origin cannot be asked what it has; nothing was tagged or pushed" in said.err
    assert everything(landed) == state


def test_a_remote_of_two_places_is_refused_since_no_push_is_one_step_in_both(landed: Scratch, remote: Scratch) -> None:
    for name in ("one", "two"):
        landed.git("remote", "set-url", "--add", "--push", "origin", str(remote.path.with_name(name)))
    said = landed.br3("release", "--push", code=2)
    assert "origin pushes to 2 places" in said.err


def test_it_is_where_a_remote_is_pushed_to_that_is_asked(landed: Scratch, remote: Scratch) -> None:
    landed.git("remote", "set-url", "--push", "origin", str(remote.path))
    landed.git("remote", "set-url", "origin", str(remote.path.with_name("nowhere")))
    landed.br3("release", "--push")
    assert remote.head("v0.4.0^{commit}") == landed.head()


def test_a_dry_run_of_a_push_says_where_and_pushes_nothing(landed: Scratch, remote: Scratch) -> None:
    there = remote.git("for-each-ref")
    said = landed.br3("release", "--push", "--dry-run")
    assert "pushes   main and v0.4.0 to origin" in said.out
    assert remote.git("for-each-ref") == there


def test_an_undo_takes_base_and_tag_back_and_the_checkout_follows(landed: Scratch) -> None:
    landed.write("README.md", "edited\n")
    state = (landed.git("for-each-ref"), landed.git("status", "--porcelain"), landed.git("ls-files", "--stage"))
    landed.br3("release")
    data = landed.br3("release", "--undo", "--json").json
    assert (data["tag"], data["undone"], data["base_after"]) == ("v0.4.0", True, landed.head())
    after = (landed.git("for-each-ref"), landed.git("status", "--porcelain"), landed.git("ls-files", "--stage"))
    assert after == state
    assert landed.br3("release", "--json").json["tag"] == "v0.4.0"


def test_a_landing_below_a_release_says_that_the_release_is_taken_back_first(landed: Scratch, remote: Scratch) -> None:
    run, base = landed.status()["run"], landed.head()
    way = f"br3 release --undo, then br3 merge --undo {run}"
    landed.br3("release")
    landed.br3("release", "--bump", "patch")
    said = landed.br3("merge", "--undo", run, code=3).err
    assert "main has a release on top of what landed: v0.4.1" in said and way in said
    landed.br3("release", "--undo")
    landed.br3("release", "--undo")
    landed.git("tag", "mine")
    assert "git revert" in landed.br3("merge", "--undo", run, code=3).err
    landed.git("tag", "-d", "mine")
    landed.br3("merge", "--undo", run)
    assert landed.head() != base
    landed.br3("merge")
    landed.br3("release", "--push")
    assert "git revert" in landed.br3("merge", "--undo", run, code=3).err


def test_an_undo_of_a_tag_alone_leaves_base(landed: Scratch) -> None:
    base = landed.head()
    landed.br3("release", "--tag", "week-1", code=2)
    landed.git("tag", "other")
    landed.plan(
        (landed.path / "br3.toml").read_text().split("[release]")[0] + '[release]\ntag = "week-1"\n', commit=False
    )
    landed.br3("run", "--trust")
    landed.br3("release")
    assert "week-1: the tag is gone" in landed.br3("release", "--undo").out
    assert (landed.head(), landed.git("tag", "--list").split()) == (base, ["other", "v0.3.0"])
    assert "br3 has made no release" in landed.br3("release", "--undo", code=1).err


def test_what_was_pushed_is_not_taken_back(landed: Scratch, remote: Scratch) -> None:
    landed.br3("release", "--push")
    state = everything(landed)
    said = landed.br3("release", "--undo", code=3)
    assert "v0.4.0 is at origin already; nothing was taken back" in said.err and "--bump patch" in said.err
    assert everything(landed) == state


def test_what_was_pushed_by_hand_is_not_taken_back(landed: Scratch, remote: Scratch) -> None:
    landed.br3("release")
    landed.git("push", "--quiet", str(remote.path), "v0.4.0")
    assert "origin has v0.4.0 already" in landed.br3("release", "--undo", code=3).err
    remote.git("tag", "-d", "v0.4.0")
    landed.git("push", "--quiet", "origin", "main")
    assert "origin/main contains v0.4.0 already" in landed.br3("release", "--undo", code=3).err


def test_what_others_have_built_on_already_is_not_taken_back(landed: Scratch, remote: Scratch, tmp_path: Path) -> None:
    landed.br3("release")
    landed.git("push", "--quiet", str(remote.path), "main")
    landed.git("clone", "--quiet", "--branch", "main", str(remote.path), str(tmp_path / "theirs"))
    theirs = Scratch(tmp_path / "theirs")
    theirs.write("more", "x\n")
    theirs.commit("more")
    theirs.git("push", "--quiet")
    said = landed.br3("release", "--undo", code=3)
    assert "origin has commits on main that are not here, and may have v0.4.0 with them" in said.err
    landed.git("fetch", "--quiet", str(remote.path), "main")  # as if by another name: nothing here follows it
    assert "origin has v0.4.0 already" in landed.br3("release", "--undo", code=3).err


def test_what_was_rejected_can_be_taken_back_once_the_remote_says_that_it_has_nothing(
    landed: Scratch, remote: Scratch
) -> None:
    base = landed.head()
    hook(remote, NO_TAGS)
    landed.br3("release", "--push", code=1)
    away = remote.path.rename(remote.path.with_name("away"))
    assert "does not say whether it has it" in landed.br3("release", "--undo", code=3).err
    away.rename(remote.path)
    landed.br3("release", "--undo")
    assert (landed.head(), landed.git("tag", "--list")) == (base, "v0.3.0")


def test_an_undo_needs_no_remote_that_was_never_sent_anything(landed: Scratch, remote: Scratch) -> None:
    landed.br3("release")
    remote.path.rename(remote.path.with_name("away"))
    landed.br3("release", "--undo")


def test_a_tag_that_somebody_deleted_is_no_undo_that_was_cut_off(landed: Scratch, tmp_path: Path) -> None:
    landed.br3("release")
    base = landed.head()
    env = git_that_kills(tmp_path / "bin", "update-ref --stdin", after=False)
    landed.br3("release", "--undo", code=None, env=env)
    landed.git("tag", "-d", "v0.4.0")
    assert "br3 has made no release on main" in landed.br3("release", "--undo", code=1).err
    assert landed.head() == base


def test_a_base_that_has_gone_on_is_not_taken_back(landed: Scratch) -> None:
    landed.br3("release")
    landed.write("more", "x")
    landed.commit("more")
    state = everything(landed)
    said = landed.br3("release", "--undo", code=3)
    assert "main has gone on since v0.4.0 by 1 commit" in said.err and "git revert" in said.err
    assert everything(landed) == state


def test_a_release_that_a_branch_is_built_on_is_not_taken_back(landed: Scratch) -> None:
    landed.br3("release")
    landed.git("branch", "mine")
    assert "mine is built on v0.4.0" in landed.br3("release", "--undo", code=3).err


def test_an_undo_refuses_where_a_local_change_is_in_its_way(landed: Scratch) -> None:
    landed.br3("release")
    landed.write("VERSION", "mine")
    state = everything(landed)
    said = landed.br3("release", "--undo", code=3)
    assert "VERSION" in said.err
    assert everything(landed) == state


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "step",
    [
        "hash-object",
        "commit-tree",
        "worktree add",
        "tag --cleanup",
        "update-ref --stdin",
        "read-tree -m -u",
        "push --atomic",
    ],
)
def test_kill_9_at_a_step_leaves_all_or_nothing_and_the_next_release_finishes(
    landed: Scratch, remote: Scratch, tmp_path: Path, step: str, after: bool
) -> None:
    before = landed.head()
    landed.write("README.md", "edited\n")
    env = git_that_kills(tmp_path / "bin", step, after=after)
    assert landed.br3("release", "--push", code=None, env=env).code == -signal.SIGKILL
    moved = step in ("read-tree -m -u", "push --atomic") or (step.startswith("update-ref") and after)
    assert (landed.head() != before) == moved == (landed.git("tag", "--list", "v0.4.0") != "")
    if not moved:
        assert landed.git("status", "--porcelain") == " M README.md"
    landed.br3("release", "--push")
    assert landed.head("v0.4.0^{commit}") == landed.head() == remote.head("main")
    assert remote.head("v0.4.0") == landed.head("v0.4.0")
    assert landed.head("main^") == before
    assert landed.git("status", "--porcelain") == " M README.md"
    assert (landed.path / "README.md").read_text() == "edited\n"
    assert len(landed.git("worktree", "list").splitlines()) == 3


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["read-tree -n", "update-ref --stdin", "read-tree -m -u"])
def test_kill_9_at_a_step_of_an_undo_leaves_all_or_nothing_and_the_same_command_finishes(
    landed: Scratch, tmp_path: Path, step: str, after: bool
) -> None:
    before = landed.head()
    landed.br3("release")
    landed.write("extra", "x")
    released = landed.head()
    env = git_that_kills(tmp_path / "bin", step, after=after)
    assert landed.br3("release", "--undo", code=None, env=env).code == -signal.SIGKILL
    moved = step == "read-tree -m -u" or (step.startswith("update-ref") and after)
    assert landed.head() == (before if moved else released)
    assert (landed.git("tag", "--list", "v0.4.0") == "") == moved
    assert "v0.4.0" in landed.br3("release", "--undo").out
    assert (landed.head(), landed.git("tag", "--list")) == (before, "v0.3.0")
    assert landed.git("status", "--porcelain") == "?? extra"
    assert len(landed.events("release.undone")) == 1
