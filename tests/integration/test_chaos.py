"""``kill -9`` of anything of br3's at any moment, and ``br3 run`` again: nothing is lost, repeated, or left behind.

A few rounds here; ``BR3_TEST_CHAOS_ROUNDS=30`` plays more, ``BR3_TEST_CHAOS_SEED`` those of another chance.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Scratch, processes_with, script, toml, until, words_of

ROUNDS = int(os.environ.get("BR3_TEST_CHAOS_ROUNDS") or 3)
SEED = int(os.environ.get("BR3_TEST_CHAOS_SEED") or 8)
BUILDS = "abcd"
AGENT = """\
import os, time
name = os.environ['BR3_BUILD'] + '-' + os.environ['BR3_TASK']
with open(name + '.draft', 'w') as draft:
    draft.write('half')
time.sleep({seconds})
os.replace(name + '.draft', name)
with open(name, 'w') as whole:
    whole.write(name)
"""
ROLES = ("dispatcher", "orchestrator", "orchestrator", "agent", "agent", "any")


def the_plan(agent: str) -> str:
    text = '[plan]\nname = "chaos"\njobs = 4\n[setup]\n[defaults]\nagent = "shell"\nretries = 2\n'
    text += '[verify]\nrun = ["true"]\n'
    for build in BUILDS:
        text += f'[[build]]\nid = "{build}"\n'
        for task in "12":
            text += f'[[build.task]]\nid = "{task}"\ncommand = {toml(agent)}\n'
        text += f'[build.verify]\nrun = ["test -e {build}-1 && test -e {build}-2"]\n'
    return text


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> str:
    return script(tmp_path_factory.mktemp("tools"), "agent.py", AGENT.format(seconds=0.15))


_expected: dict[str, dict[str, str]] = {}
"""By agent: the trees that a run without any kill ends with."""


def role_of(process: psutil.Process) -> str | None:
    """What a process of the run is; None for one that is none of br3's."""
    words = " ".join(words_of(process))
    if "br3.orchestrator" in words:
        return "orchestrator"
    if "br3.dispatch.observing" in words:
        return "folder"
    if "-m br3 run" in words:
        return "dispatcher"
    return "agent" if "br3-shim" in words or "agent.py" in words else None


def there_is(tracked: str, wanted: str) -> bool:
    return wanted == "any" or any(role_of(process) == wanted for process in processes_with(tracked))


def kill_one(tracked: str, wanted: str, chance: random.Random) -> str | None:
    """Kill one process of that role, or of any where there is none; what it was."""
    living = [(process, role) for process in processes_with(tracked) if (role := role_of(process))]
    chosen = [pair for pair in living if pair[1] == wanted] or living
    if not chosen:
        return None
    process, role = chance.choice(chosen)
    try:
        process.kill()
    except psutil.Error:
        return None
    return role


def trees(repo: Scratch) -> dict[str, str]:
    return {build: repo.git("rev-parse", f"build/{build}^{{tree}}") for build in BUILDS}


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def see_that_all_is_well(repo: Scratch, tracked: str) -> None:
    builds = repo.status()["builds"]
    assert all(builds[name]["verified"] and builds[name]["state"] == "verified" for name in BUILDS), builds
    done = [(e.build, e.task) for e in repo.events("task.completed")]
    assert sorted(done) == [(build, task) for build in BUILDS for task in "12"]
    until(lambda: not processes_with(tracked))
    held = [path.name for path in (repo.common_dir / "br3" / "locks").iterdir() if is_locked(path)]
    assert not held, held
    for build in BUILDS:
        assert repo.git("status", "--porcelain", cwd=repo.worktree(build)) == ""
    assert repo.br3("claims", "--json").json["claims"] == []
    assert repo.br3("status", "--json").json["problems"] == []


def play(repo: Scratch, tracked: str, chance: random.Random, expected: dict[str, str], agent: str) -> list[str]:
    """One round in a fresh repository: kill, run again, until nobody was killed any more. What was killed."""
    repo.plan(the_plan(agent))
    killed: list[str] = []
    kills = chance.randint(1, 4)
    words = ["run", "--trust"]
    while True:
        process = repo.start(*words)
        while process.poll() is None and len(killed) < kills:
            wanted = chance.choice(ROLES)
            until(lambda process=process, wanted=wanted: process.poll() is not None or there_is(tracked, wanted))
            time.sleep(chance.uniform(0.0, 0.5))
            role = kill_one(tracked, wanted, chance)
            if role is not None:
                killed.append(role)
            if chance.random() < 0.3:
                # A fold of the analytics, as the dispatcher starts one each minute.
                folder = repo.start("telemetry", "summary")
                time.sleep(chance.uniform(0.2, 1.5))
                folder.kill()
                folder.communicate()
                killed.append("folder")
        out, err = process.communicate()
        if process.returncode == 0:
            break
        # Killed, or the deaths used up what a build may be retried: the same command goes on.
        assert len(killed) <= kills + 4, f"{killed}\n{out}\n{err}"
        assert process.returncode in (-9, 1, 130), f"{process.returncode} after {killed}\n{out}\n{err}"
        assert killed, f"{out}\n{err}"
    assert trees(repo) == expected
    see_that_all_is_well(repo, tracked)
    return killed


@pytest.mark.parametrize("number", range(ROUNDS))
def test_whatever_is_killed_every_build_comes_to_the_same_end(
    repo: Scratch, tmp_path: Path, tracked: str, number: int, agent: str
) -> None:
    if agent not in _expected:
        quiet = Scratch(tmp_path / "quiet")
        quiet.path.mkdir()
        quiet.git("init", "--quiet")
        quiet.write("README.md", "# project\n")
        quiet.commit("begin")
        quiet.plan(the_plan(agent))
        quiet.br3("run", "--trust")
        _expected[agent] = trees(quiet)
    killed = play(repo, tracked, random.Random(f"{SEED}-{number}"), _expected[agent], agent)
    print("killed:", ", ".join(killed))
