"""Many commits at once: no event is lost or written twice, and br3 is in nobody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.hooking import BUILD, RUN, SECRET, TRAILERS, Ground

WORKTREES, COMMITS = 8, 25


def commit_all(sides: list[Ground], count: int) -> list[str]:
    """That many commits in each worktree, all worktrees at once; what git complained of."""
    complaints: list[str] = []

    def work(side: Ground) -> None:
        for number in range(count):
            side.write(f"{side.name}-{number}.txt", "text\n")
            side.git("add", "--all")
            said = side.call("commit", "--quiet", "--message", f"{side.name} {number}")
            if said.code or said.err:
                complaints.append(said.err)

    threads = [threading.Thread(target=work, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return complaints


@pytest.fixture
def sides(ground: Ground, tmp_path: Path) -> list[Ground]:
    return [ground.linked(tmp_path / f"w{n}", "-b", f"branch-{n}") for n in range(WORKTREES)]


def check(ground: Ground, sides: list[Ground], count: int) -> None:
    """Each commit of each worktree was recorded once, under its branch and worktree; none else was."""
    made = Counter(
        (commit, f"branch-{n}", side.name)
        for n, side in enumerate(sides)
        for commit in side.git("rev-list", "work..HEAD").split()
    )
    assert sum(made.values()) == len(sides) * count
    assert Counter(ground.commits()) == made


def test_two_hundred_commits_in_eight_worktrees(ground: Ground, sides: list[Ground]) -> None:
    for side in sides:
        side.of_build()
    assert commit_all(sides, COMMITS) == []
    check(ground, sides, COMMITS)
    assert {(e.run, e.build) for e in ground.events("hook.commit")} == {(RUN, BUILD)}
    for side in sides:
        printed = side.git("log", "--format=%(trailers:only)%x00", "work..HEAD")
        assert printed.count(TRAILERS) == printed.count("Br3-Build") == COMMITS


def test_commits_while_events_are_folded_and_hooks_installed(ground: Ground, sides: list[Ground]) -> None:
    """br3 in a loop beside them, until the last commit is made."""
    over = threading.Event()
    failed: list[str] = []

    def again(*words: str) -> None:
        while not over.is_set():
            done = subprocess.run(
                [sys.executable, "-P", "-m", "br3", *words], cwd=ground.path, capture_output=True, text=True
            )
            if done.returncode:
                failed.append(f"{words}: {done.stderr}")

    beside = [
        threading.Thread(target=again, args=("telemetry", "summary")),
        threading.Thread(target=again, args=("hooks", "install")),
    ]
    for thread in beside:
        thread.start()
    try:
        complaints = commit_all(sides, 10)
    finally:
        over.set()
        for thread in beside:
            thread.join()
    assert (complaints, failed) == ([], [])
    check(ground, sides, 10)
    ground.br3("telemetry", "summary")
    query = "SELECT count(*), count(DISTINCT data->>'commit') FROM events WHERE kind = 'hook.commit'"
    assert ground.br3("sql", "--json", query).json["rows"] == [[WORKTREES * 10, WORKTREES * 10]]


def test_secrets_are_refused_and_told_once_each(ground: Ground, sides: list[Ground]) -> None:
    tips = [side.tip for side in sides]
    for side in sides:
        side.stage("new.txt", f"{SECRET}\n")
    processes = [
        subprocess.Popen(
            ["git", "commit", "--message", "change"],
            cwd=side.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for side in sides
    ]
    assert [process.wait() for process in processes] == [1] * len(sides)
    assert [side.tip for side in sides] == tips
    assert len(ground.events("security.violation")) == len(sides)


def test_every_line_of_the_segment_is_whole(ground: Ground, sides: list[Ground]) -> None:
    commit_all(sides, 5)
    segment = ground.common_dir / "br3/journal/hooks.jsonl"
    found = [json.loads(line) for line in segment.read_text().splitlines() if line]
    assert len(found) == len(ground.events())
