"""post-checkout: new worktrees set themselves up in the background; a switch of branches tells of lock files."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from br3.repo.worktrees import discover
from br3.telemetry.locks import holder
from br3.workspace.provisioning import log_of
from tests.conftest import toml, until
from tests.integration.hooking import PLAN, Ground, began, kinds, lines_of_br3


def set_up_by(ground: Ground, *commands: str, trusted: bool = True) -> None:
    """Compile a plan with this ``[setup]``."""
    ground.write("br3.toml", f"{PLAN}[setup]\nrun = [{', '.join(map(toml, commands))}]\n")
    if trusted:
        ground.br3("trust", "--trust")
    ground.br3("hooks", "install")


def ready(ground: Ground) -> list[str]:
    return [str(event.data["path"]) for event in ground.events("worktree.ready")]


def test_a_new_worktree_is_set_up_once_with_its_log(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "printf x >> made; echo said by set-up")
    new = tmp_path / "new"
    said = ground.call("worktree", "add", "-b", "new", os.fspath(new))
    assert said.code == 0 and len(lines_of_br3(said)) == 1
    until(lambda: ready(ground))
    assert ready(ground) == [os.fspath(new)]
    assert (new / "made").read_text() == "x"
    assert "said by set-up" in log_of(discover(new), new).read_text()
    assert "it is set up already" in ground.br3("hooks", "setup", cwd=new).out
    ground.git("switch", "--quiet", "--create", "other", cwd=new)
    assert (new / "made").read_text() == "x"


@pytest.fixture
def gate(ground: Ground, tmp_path: Path) -> Iterator[Path]:
    """A fifo that set-up waits for; it is let go at the end."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    set_up_by(ground, f"read line < '{path}'; printf x > made")
    yield path
    with os.fdopen(os.open(path, os.O_RDWR | os.O_NONBLOCK), "w") as held:
        held.write("go\n")
        held.flush()
        until(lambda: ready(ground))


def test_adding_does_not_wait_for_the_set_up(ground: Ground, gate: Path, tmp_path: Path) -> None:
    """Also when what git prints goes into pipes, which a child would hold open."""
    new = tmp_path / "new"
    done = subprocess.run(
        ["git", "worktree", "add", "-b", "new", os.fspath(new)], cwd=ground.path, capture_output=True, timeout=60
    )
    assert done.returncode == 0
    assert not (new / "made").exists() and ready(ground) == []
    with gate.open("w") as opened:
        opened.write("go\n")
    until(lambda: ready(ground))
    assert (new / "made").read_text() == "x"


def test_a_worktree_that_is_being_set_up_is_no_trouble(ground: Ground, gate: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    ground.git("worktree", "add", "-b", "new", os.fspath(new))
    until(lambda: log_of(discover(new), new).exists())
    assert "was never set up" not in ground.br3("doctor", code=None).out


def test_what_is_left_of_a_killed_set_up_is_ended_by_the_next(ground: Ground, tmp_path: Path, tracked: str) -> None:
    path = tmp_path / "gate"
    os.mkfifo(path)
    first = f"trap 'touch ended; exit' TERM; touch begun; read line < '{path}'"
    set_up_by(ground, f"if [ -e ../again ]; then [ ! -e ended ] || touch alone; else {first}; fi")
    new = tmp_path / "new"
    ground.git("worktree", "add", "-b", "new", os.fspath(new))
    until(lambda: (new / "begun").exists())
    name = log_of(discover(new), new).parent.name
    killed = holder(ground.common_dir, "worktree", name)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: holder(ground.common_dir, "worktree", name) is None)
    (tmp_path / "again").touch()
    ground.br3("hooks", "setup", cwd=new)
    assert (new / "alone").exists()


def test_set_up_that_nobody_approved_does_not_run(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "printf x > made", trusted=False)
    new = tmp_path / "new"
    said = ground.call("worktree", "add", "-b", "new", os.fspath(new))
    assert said.code == 0 and lines_of_br3(said) == []
    assert kinds(ground.events()) == []


def test_a_set_up_that_was_revoked_does_not_run(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "printf x > made")
    ground.br3("trust", "--revoke")
    new = tmp_path / "new"
    ground.git("worktree", "add", "-b", "new", os.fspath(new))
    assert "nobody has approved" in ground.br3("hooks", "setup", cwd=new, code=3).err
    assert not (new / "made").exists()


def test_a_set_up_that_fails_is_told_in_the_journal(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "echo because; exit 3")
    new = tmp_path / "new"
    ground.git("worktree", "add", "-b", "new", os.fspath(new))
    (event,) = until(lambda: ground.events("worktree.failed"))
    assert event.data["exit_code"] == 3 and "because" in Path(event.data["log"]).read_text()


def test_set_up_does_not_see_git_s_variables(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "git rev-parse --show-toplevel > top; git -C .. rev-parse --git-dir > above || :")
    side = ground.linked(tmp_path / "side", "-b", "side")
    new = tmp_path / "new"
    side.git("worktree", "add", "-b", "new", os.fspath(new))
    until(lambda: ready(ground))
    assert (new / "top").read_text() == f"{new}\n" and (new / "above").read_text() == ""


@pytest.mark.parametrize("words", [["--no-checkout", "-b", "new"], ["--detach"]])
def test_ways_to_add_a_worktree(ground: Ground, tmp_path: Path, words: list[str]) -> None:
    set_up_by(ground, "printf x > made")
    new = tmp_path / "new"
    ground.git("worktree", "add", *words, os.fspath(new))
    if "--no-checkout" in words:  # no hook sees it
        ground.br3("hooks", "setup", cwd=new)
    until(lambda: ready(ground))
    assert (new / "made").read_text() == "x"


def test_a_main_worktree_is_never_set_up(ground: Ground, tmp_path: Path) -> None:
    """A clone whose hooks come from a template sends the null id too."""
    null = "0" * len(ground.tip)
    set_up_by(ground, "printf x > made")
    template = tmp_path / "template"
    template.mkdir()
    hooks = ground.common_dir / "hooks"
    if hooks.is_dir():
        (template / "hooks").symlink_to(hooks)
    said = ground.call("clone", "--quiet", "--template", os.fspath(template), os.fspath(ground.path), "clone")
    assert said.code == 0 and lines_of_br3(said) == []
    assert not (ground.path / "clone/made").exists() and not (ground.path / "clone/.git/br3").exists()
    assert ready(ground) == []
    said = ground.call("hook", "run", "post-checkout", "--", null, ground.tip, "1")
    assert said.code == 0 and lines_of_br3(said) == []


def test_br3_gone_does_not_stop_a_worktree(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, "printf x > made")
    path = ground.common_dir / "br3/hooks/settings"
    path.write_text(path.read_text().replace("/entry.py", "/gone.py").replace("/check.py", "/gone.py"))
    said = ground.call("worktree", "add", "-b", "new", os.fspath(tmp_path / "new"))
    assert said.code == 0 and len(lines_of_br3(said)) == 1


@pytest.mark.parametrize("name", ["uv.lock", "web/package-lock.json", "requirements-dev.txt", "Cargo.lock"])
def test_a_changed_lock_file_is_told(spot: Ground, name: str) -> None:
    start = spot.tip
    spot.record(name)
    spot.plain("switch", "--quiet", "--create", "before", start)
    said = spot.call("switch", "-")
    assert lines_of_br3(said) == [f"br3: {name} changed with the branch: what is installed may be out of date"]


def test_another_file_that_changed_is_not_told(spot: Ground) -> None:
    start = spot.tip
    spot.record("locked.txt")
    spot.plain("switch", "--quiet", "--create", "before", start)
    assert lines_of_br3(spot.call("switch", "-")) == []
    assert kinds(spot.events()) == ["hook.checkout"]


def test_a_branch_that_was_made_tells_nothing(spot: Ground) -> None:
    spot.record("uv.lock")
    assert lines_of_br3(spot.call("switch", "--create", "other")) == []


def test_files_checked_out_are_no_switch(spot: Ground) -> None:
    spot.record("uv.lock")
    said = spot.call("checkout", "HEAD~1", "--", "file.txt")
    assert (lines_of_br3(said), spot.events()) == ([], [])


def test_without_a_plan_nothing_is_set_up(chosen_git: None, tmp_path: Path) -> None:
    ground = began(tmp_path / "project")
    (ground.path / "br3.toml").unlink()
    ground.br3("hooks", "install")
    said = ground.call("worktree", "add", "-b", "new", os.fspath(tmp_path / "new"))
    assert said.code == 0 and lines_of_br3(said) == []


def test_set_up_sees_the_users_locale(ground: Ground, tmp_path: Path) -> None:
    set_up_by(ground, 'printf %s "$LC_ALL" > locale')
    ground.git("worktree", "add", "-b", "new", os.fspath(tmp_path / "new"), env={"LC_ALL": "C.UTF-8"})
    until(lambda: ready(ground))
    assert (tmp_path / "new/locale").read_text() == "C.UTF-8"
