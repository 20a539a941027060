"""What all worktrees share, while agents of several builds work, begin, end and die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from br3.telemetry import Lock
from br3.workspace import baseline, children
from br3.workspace.baseline import Change
from tests.conftest import Scratch, shell_plan, toml, writing


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def has(repo: Scratch, key: str) -> bool:
    return repo.git("config", "--local", "--get", key, check=False) != ""


def test_what_changed_while_nobody_was_at_work_is_the_user_s_own(repo: Scratch, kept: Path) -> None:
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        baseline.end(repo.common_dir, "a", kept)
    repo.git("config", "mine.own", "yes")
    assert baseline.end(repo.common_dir, "a", kept) == []  # again, after a crash
    assert baseline.begin(repo.common_dir, "b", kept) == []
    assert baseline.end(repo.common_dir, "b", kept) == []
    assert has(repo, "mine.own")


def test_what_changed_since_an_attempt_was_cut_off_is_told_and_left(repo: Scratch, kept: Path) -> None:
    baseline.begin(repo.common_dir, "a", kept)  # whose lock is not held: it is dead
    repo.git("config", "mine.own", "yes")
    (change,) = baseline.begin(repo.common_dir, "b", kept)
    assert (change.what, change.undone) == (("mine.own",), False)
    assert baseline.end(repo.common_dir, "b", kept) == []  # told once
    assert has(repo, "mine.own")


def test_what_changed_before_another_one_began_is_put_back(repo: Scratch, kept: Path) -> None:
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        repo.git("config", "core.hooksPath", "/evil")
        (change,) = baseline.begin(repo.common_dir, "b", kept)
        assert (change.what, change.undone, change.at_work) == (("core.hookspath",), True, ("a",))
        assert not has(repo, "core.hooksPath")
        repo.git("config", "core.hooksPath", "/evil")
        (change,) = baseline.end(repo.common_dir, "b", kept)
        assert set(change.at_work) == {"a", "b"}
        assert not has(repo, "core.hooksPath")


def test_an_attempt_that_was_cut_off_is_held_to_it_while_others_work(repo: Scratch, kept: Path) -> None:
    baseline.begin(repo.common_dir, "b", kept)
    with Lock(repo.common_dir, "build", "a"), Lock(repo.common_dir, "build", "b"):
        baseline.begin(repo.common_dir, "a", kept)
        baseline.begin(repo.common_dir, "b", kept)
        repo.git("config", "core.hooksPath", "/evil")
        (change,) = baseline.end(repo.common_dir, "b", kept, cut_off=True)
        assert change.undone and not has(repo, "core.hooksPath")
        repo.git("config", "mine.own", "yes")
        (change,) = baseline.end(repo.common_dir, "a", kept, cut_off=True)
        assert not change.undone and has(repo, "mine.own")


def test_an_agent_cannot_have_its_changes_taken_for_the_user_s(
    repo: Scratch, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        with monkeypatch.context() as inside:
            inside.setenv(children.MARK, "a's")
            with baseline.ours(repo.common_dir):
                repo.git("config", "core.hooksPath", "/evil")
        assert baseline.end(repo.common_dir, "a", kept)
        assert not has(repo, "core.hooksPath")


def test_what_br3_and_approved_commands_change_stays_and_what_agents_change_beside_it_does_not(
    repo: Scratch, kept: Path
) -> None:
    hooks = repo.common_dir / "hooks"
    repo.write("gone", "#!/bin/sh\n", root=hooks)
    repo.git("config", "set-up.value", "before")
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        repo.git("config", "core.hooksPath", "/evil")
        repo.write("evil", "#!/bin/sh\n", root=hooks)
        with baseline.ours(repo.common_dir):
            repo.git("config", "filter.lfs.clean", "git-lfs clean -- %f")
            repo.git("config", "set-up.value", "after")
            repo.write("pre-push", "#!/bin/sh\n", root=hooks)
            (hooks / "gone").unlink()
        changes = {change.rule: change.what for change in baseline.end(repo.common_dir, "a", kept)}
    assert changes == {"git-config": ("core.hookspath",), "hooks": ("evil",)}
    assert repo.git("config", "filter.lfs.clean") == "git-lfs clean -- %f"
    assert repo.git("config", "set-up.value") == "after"
    assert not has(repo, "core.hooksPath")
    assert sorted(path.name for path in hooks.iterdir() if path.suffix != ".sample") == ["pre-push"]


def test_what_set_up_changes_for_one_build_while_another_s_agent_works_stays(repo: Scratch, tmp_path: Path) -> None:
    waits = f"{making_of(tmp_path)} ; until test -e '{tmp_path}/go'; do :; done; {writing('a.txt')}"
    changes = f"until test -e '{tmp_path}/at-work'; do :; done; git config filter.x.clean cat; touch_ '{tmp_path}/go'"
    text = shell_plan({"a": waits, "b": writing("b.txt")}).replace(
        'id = "b"\n', f'id = "b"\nsetup = [{toml(changes.replace("touch_", "printf x >"))}]\n'
    )
    repo.plan(text)
    repo.br3("run", "--trust")
    assert repo.events("security.violation") == []
    assert repo.git("config", "filter.x.clean") == "cat"


def making_of(tmp_path: Path) -> str:
    return f"printf x > '{tmp_path}/at-work'"


def test_git_s_samples_and_what_it_notes_of_branches_are_nobody_s(repo: Scratch, kept: Path) -> None:
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        repo.write("new.sample", "", root=repo.common_dir / "hooks")
        repo.git("config", "branch.x.remote", "origin")
        assert baseline.end(repo.common_dir, "a", kept) == []


def test_an_agent_that_ends_while_a_set_up_is_at_it_waits_for_that(repo: Scratch, kept: Path) -> None:
    changes: list[Change] = []
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        repo.git("config", "core.hooksPath", "/evil")
        with baseline.ours(repo.common_dir):
            repo.git("config", "filter.x.clean", "cat")
            ending = Thread(target=lambda: changes.extend(baseline.end(repo.common_dir, "a", kept)))
            ending.start()
            assert has(repo, "core.hooksPath") and ending.is_alive()
        ending.join()
    assert [change.what for change in changes] == [("core.hookspath",)]
    assert has(repo, "filter.x.clean") and not has(repo, "core.hooksPath")


def test_a_set_up_that_was_killed_holds_up_nobody(repo: Scratch, kept: Path) -> None:
    script = (
        "import os, sys, pathlib\nfrom br3.workspace import baseline\n"
        "with baseline.ours(pathlib.Path(sys.argv[1])): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(repo.common_dir)], check=False)
    with Lock(repo.common_dir, "build", "a"):
        baseline.begin(repo.common_dir, "a", kept)
        repo.git("config", "core.hooksPath", "/evil")
        assert baseline.end(repo.common_dir, "a", kept)[0].undone
