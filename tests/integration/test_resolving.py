"""Conflicts that an agent resolves: what it is told, what lands of it, and that it is asked once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import Scratch, processes_with, script, toml, until

AGENT = """
import os, pathlib, re, sys, time
text, doing = sys.argv[1], pathlib.Path(sys.argv[2])
if os.environ["BR3_TASK"] == "resolve":
    with open(doing / "asked", "a") as asked:
        print(open(os.environ["BR3_PROMPT_FILE"]).read(), file=asked)
    while (doing / "wait").exists():
        time.sleep(0.02)
    target = pathlib.Path("shared.txt")
    lines = [line for line in target.read_text().splitlines() if not re.match("[<=>]{7}", line)]
    if (doing / "leave").exists():
        pathlib.Path("other.txt").write_text("not what was asked")
    else:
        target.write_text("".join(line + "\\n" for line in lines))
else:
    pathlib.Path("shared.txt").write_text(text + "\\n")
"""


@pytest.fixture
def doing(tmp_path: Path) -> Path:
    """A directory that tells the agent how to behave."""
    directory = tmp_path / "doing"
    directory.mkdir()
    return directory


@pytest.fixture
def clashing(repo: Scratch, doing: Path) -> Scratch:
    """Two verified builds that write the same file; on a conflict an agent is asked."""
    agent = script(doing, "agent.py", AGENT)
    plan = '[plan]\nname = "t"\n[setup]\n[landing]\non_conflict = "agent"\n[verify]\nrun = ["true"]\n'
    plan += '[defaults]\nagent = "shell"\nretries = 0\n'
    for build in ("one", "two"):
        command = toml(f"{agent} 'from {build}' {doing}")
        plan += f'[[build]]\nid = "{build}"\nprompt = "Write {build}."\ncommand = {command}\n'
        plan += '[build.verify]\nrun = ["test -e shared.txt"]\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    return repo


def test_what_an_agent_resolved_lands_as_a_merge_of_both(clashing: Scratch, doing: Path) -> None:
    tip = clashing.head("build/two")
    merged = clashing.br3("merge", "--json").json
    assert merged["landed"] == ["one", "two"]
    assert merged["aside"] == []
    assert (clashing.path / "shared.txt").read_text() == "from one\nfrom two\n"
    assert clashing.head("build/two") == tip, "the build's own branch stays as it is"
    assert clashing.git("log", "--format=%s", "main").count("in conflict") == 0
    markers = clashing.git("log", "--format=", "-p", "-m", "main")
    assert "<" * 7 not in markers, "no commit on base holds conflict markers"
    status = clashing.status()["builds"]
    assert all(status[build]["landed"] for build in ("one", "two"))
    assert [line for line in clashing.git("worktree", "list").splitlines() if "two-resolve" in line] == []
    assert clashing.git("branch", "--list", "br3-resolve/*") == ""
    asked = (doing / "asked").read_text()
    assert "Write one." in asked and "Write two." in asked and "- shared.txt" in asked


def test_the_newest_run_is_still_the_user_s(clashing: Scratch) -> None:
    run = clashing.status()["run"]
    clashing.br3("merge")
    assert clashing.status()["run"] == run


def test_a_conflict_that_is_left_keeps_the_build_aside_and_is_not_handed_out_again(
    clashing: Scratch, doing: Path
) -> None:
    (doing / "leave").touch()
    aside = clashing.br3("merge", "--json", code=1).json["aside"]
    assert [one["id"] for one in aside] == ["two"]
    assert "an agent could not resolve it" in aside[0]["reason"]
    assert (clashing.path / "shared.txt").read_text() == "from one\n"
    before = (doing / "asked").read_text()
    clashing.br3("merge", code=1)
    assert (doing / "asked").read_text() == before
    assert len(clashing.events("landing.resolving")) == 1


def test_without_the_plan_s_word_no_agent_is_asked(clashing: Scratch, doing: Path) -> None:
    plan = (clashing.path / "br3.toml").read_text().replace('on_conflict = "agent"', "")
    clashing.plan(plan)
    clashing.br3("run", "--trust")
    clashing.br3("merge", code=1)
    assert not (doing / "asked").exists()


def test_a_merge_that_was_killed_goes_on_with_the_same_agent_s_work(clashing: Scratch, doing: Path) -> None:
    (doing / "wait").touch()
    process = clashing.start("merge")
    until(lambda: (doing / "asked").exists())
    process.kill()
    process.communicate()
    (doing / "wait").unlink()
    assert clashing.br3("merge", "--json").json["landed"] == ["two"]
    assert (doing / "asked").read_text().count("## Task resolve") == 1
    assert (clashing.path / "shared.txt").read_text() == "from one\nfrom two\n"


def test_a_merge_that_was_stopped_ends_the_agent_and_asks_anew(clashing: Scratch, doing: Path, tracked: str) -> None:
    (doing / "wait").touch()
    process = clashing.start("merge")
    until(lambda: (doing / "asked").exists())
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert processes_with(tracked) == []
    (doing / "wait").unlink()
    assert clashing.br3("merge", "--json").json["landed"] == ["two"]
