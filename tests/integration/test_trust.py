"""A repository's commands run only after the user has approved exactly them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.conftest import Scratch, shell_plan, writing

PLAN = shell_plan({"a": writing("a.txt")}, verify="test -e a.txt")


def test_without_approval_and_terminal_nothing_runs(repo: Scratch) -> None:
    repo.plan(PLAN)
    said = repo.br3("run", code=3)
    assert "not approved" in said.err
    assert "br3 trust" in said.err and "BR3_TRUST=1" in said.err
    assert not repo.worktree("a").exists()


def test_before_anything_has_run_nobody_is_asked_for_approval_to_land_or_verify(repo: Scratch) -> None:
    repo.plan(PLAN)
    for command in ("merge", "finish"):
        said = repo.br3(command, code=1)
        assert "nothing has been run yet: no build has any work" in said.err and "next:  br3 run" in said.err
        assert "not approved" not in said.all
    assert "no build has anything to verify yet; next: br3 run" in repo.br3("verify").out
    repo.br3("up", "--trust")
    repo.br3("trust", "--revoke")
    repo.write("mine", "x\n", root=repo.worktree("a"))
    for command in ("merge", "finish", "verify a"):
        assert "not approved" in repo.br3(*command.split(), code=3).err


def test_approval_is_remembered_outside_the_repository(repo: Scratch, sealed: Path) -> None:
    repo.plan(PLAN)
    repo.br3("trust", "--trust")
    repo.br3("run")
    assert list((sealed / ".local/state/br3/trust").iterdir())
    assert repo.git("status", "--porcelain") == ""


def test_a_changed_command_asks_again(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.br3("trust", "--trust")
    repo.plan(PLAN.replace("test -e a.txt", "test -e  a.txt"))
    said = repo.br3("run", code=3)
    assert "not approved: 1 of the plan's commands, such as: test -e  a.txt" in said.err


def test_another_repository_is_another_approval(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(PLAN)
    repo.br3("trust", "--trust")
    repo.git("clone", "--quiet", str(repo.path), str(tmp_path / "clone"))
    Scratch(tmp_path / "clone").br3("run", code=3)


def test_yes_in_the_environment_is_not_trust(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.br3("run", code=3, env={"BR3_YES": "1", "BR3_TRUST": "0"})


def test_revoking_forgets(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.br3("trust", "--trust")
    repo.br3("trust", "--revoke")
    repo.br3("run", code=3)


def test_the_list_shows_every_command_with_its_purpose(repo: Scratch) -> None:
    repo.plan(PLAN + '[[criterion]]\nname = "c"\nrun = "echo criterion"\n[setup]\nrun = ["echo set-up"]\n')
    commands = repo.br3("trust", "--json").json["commands"]
    assert [(c["purpose"], c["approved"]) for c in commands] == [
        ("set-up", False),
        ("agent", False),
        ("verification", False),
        ("verification", False),
        ("criterion", False),
    ]


def on_a_terminal(repo: Scratch, answer: bytes, *words: str) -> tuple[int, str]:
    """Run br3 on a pseudo-terminal and type an answer."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "br3", *words],
        cwd=repo.path,
        env={**os.environ, "TERM": "xterm"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    os.write(leader, answer)
    said = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        said += chunk
    os.close(leader)
    return process.wait(), said.decode(errors="replace")


def test_on_a_terminal_the_commands_are_shown_and_asked_for(repo: Scratch) -> None:
    repo.plan(PLAN)
    code, said = on_a_terminal(repo, b"n\n", "trust")
    assert code == 3
    assert "test -e a.txt" in said and "Run these 3 commands" in said
    code, _ = on_a_terminal(repo, b"y\n", "trust")
    assert code == 0
    repo.br3("run")


def test_control_characters_cannot_hide_a_command(repo: Scratch) -> None:
    repo.plan(PLAN.replace("test -e a.txt", "echo evil \\u001b[2K harmless"))
    _, said = on_a_terminal(repo, b"n\n", "trust")
    assert "\\x1b[2K harmless" in said
