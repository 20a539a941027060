"""The train: eight builds landed, beside merging one after the other with the tests after each.

A part of the landing bench. The tests wait for T seconds (4), so that two cores suffice for a window of 4; they fail
where a build brings a file `bad-*`; which builds do is drawn anew for each run. The repository (5,000 files) is made
anew as well, since a tree is not tested twice.

  one at a time    `git merge --no-ff`, the tests, `git reset --hard` when they fail; for each build
  landed           `br3 merge` from its start to where base and its checkout have moved, with no, one and two builds
                   that fail; the ratio is of this
  its end          that of the command: by then it has found out which builds the failing ones break with, which
                   merging one after the other does not tell
  but the tests    what is left of the first when the rounds of tests are taken off, beside the merges alone
  16 objects       a stack of 16 builds made in a repository of 5,000 files, in one process that is there already
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from measuring import BR3, Failed, Scratch, note
from telemetry_tables import Aim, Findings, table

from br3.landing.stacking import Passenger, Stack
from br3.plan.loading import load
from br3.repo import runner
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.telemetry import read_events

T, WINDOW, BUILDS, FILES = 4.0, 4, 8, 5_000
CULPRITS = {"none fails": 0, "one fails": 1, "two fail": 2}
AIMS = {"none fails": Aim(0.15, "x"), "one fails": Aim(0.4, "x"), "two fail": Aim(0.55, "x")}
REST_AIM, OBJECTS_AIM = Aim(1.5, "x"), Aim(0.6, "s")
CHECK = f'sleep {T:g}; for f in bad-*; do test ! -e "$f" || exit 1; done'


def measure(place: Scratch, runs: int, findings: Findings) -> None:
    """Print the tables."""
    rows = []
    rest: list[float] = []
    merging: list[float] = []
    chance = random.Random(7)
    for name, count in CULPRITS.items():
        plain, trained, ended, rounds = [], [], [], 0
        for number in range(runs):
            culprits = tuple(f"b{at}" for at in sorted(chance.sample(range(BUILDS), count)))
            note(
                f"{name} ({', '.join(culprits)}), run {number + 1} of {runs}" if count else f"{name}, run {number + 1}"
            )
            repository = place.path / f"train-{count}-{number}"
            _make(place, repository, culprits)
            spent, merges = _one_at_a_time(place, repository)
            plain.append(spent)
            landed, spent, rounds = _by_train(place, repository, culprits)
            trained.append(landed)
            ended.append(spent)
            if not culprits:
                rest.append(landed - T)
                merging.append(merges)
        ratio = statistics.median(trained) / statistics.median(plain)
        held = findings.hold(f"landing of {BUILDS}, {name}", ratio, AIMS[name])
        rows.append(
            [name, str(runs), _shown(plain), _shown(trained), _shown(ended), str(rounds), f"{ratio:.2f}x", held],
        )
    ratio = statistics.median(rest) / statistics.median(merging)
    held = findings.hold("everything but the tests", ratio, REST_AIM)
    rows.append(["all but the tests", str(runs), _shown(merging), _shown(rest), "", "", f"{ratio:.2f}x", held])
    heads = ["", "runs", "one at a time", "landed", "its end", "test runs", "ratio", "aim"]
    table(f"{BUILDS} builds, window {WINDOW}, tests of {T:g} s", heads, rows, left=["aim"])
    _objects(place, runs, findings)


def _shown(figures: list[float]) -> str:
    return f"{statistics.median(figures):.2f} s"


def _make(place: Scratch, repository: Path, culprits: tuple[str, ...]) -> None:
    ids = [f"b{number}" for number in range(BUILDS)]
    _fill(repository, ids)
    place.commit_all(repository, "base")
    place.run([BR3, "up", "--trust"], repository)
    for number, build in enumerate(ids):
        worktree = repository.with_name(f"{repository.name}.worktrees") / build
        for at in range(number, FILES, BUILDS * 10):
            path = worktree / _name(at)
            path.write_text(path.read_text() + f"# by {build}\n")
        (worktree / (f"bad-{build}" if build in culprits else f"new-{build}")).write_text("x\n")
        place.git(worktree, "add", "--all")
        place.git(worktree, "commit", "--quiet", "--message=work")
    place.run([BR3, "verify"], repository)


def _fill(repository: Path, ids: list[str]) -> None:
    for at in range(FILES):
        path = repository / _name(at)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"line {line} of {at}\n" for line in range(60)))
    plan = f'[plan]\nname = "bench"\njobs = 2\n[setup]\nrun = []\n[landing]\nwindow = {WINDOW}\n'
    plan += f'[defaults]\nagent = "manual"\n[verify]\nrun = [{json.dumps(CHECK)}]\n'
    for build in ids:
        plan += f'[[build]]\nid = "{build}"\nprompt = "x"\n[build.verify]\nrun = ["true"]\n'
    (repository / "br3.toml").write_text(plan)


def _name(at: int) -> str:
    return f"pkg{at // 100:02}/sub{at // 20 % 5}/m{at:04}.py"


def _one_at_a_time(place: Scratch, repository: Path) -> tuple[float, float]:
    """In a clone: the time of all of it, and that of the merges alone."""
    clone = repository.with_name(f"{repository.name}-plain")
    place.git(place.path, "clone", "--quiet", str(repository), str(clone))
    branches = place.git(clone, "branch", "--remotes", "--list", "origin/build/*", "--format=%(refname)").split()
    if len(branches) != BUILDS:
        raise Failed(f"{len(branches)} branches of builds instead of {BUILDS}")
    merging, began = 0.0, time.perf_counter()
    for branch in branches:
        merging += place.run(["git", "merge", "--quiet", "--no-ff", "--no-edit", branch], clone).wall
        tested = subprocess.run(["/bin/sh", "-c", CHECK], cwd=clone, env=place.env, check=False)
        if tested.returncode:
            place.git(clone, "reset", "--quiet", "--hard", "HEAD~1")
    return time.perf_counter() - began, merging


def _by_train(place: Scratch, repository: Path, culprits: tuple[str, ...]) -> tuple[float, float, int]:
    """The time until base and its checkout have moved, that until the end, and the test runs."""
    at, began = datetime.now(UTC), time.perf_counter()
    command = [BR3, "merge", "--json", "--trust"]
    done = subprocess.run(command, cwd=repository, env=place.env, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - began
    told = json.loads(done.stdout)
    if sorted(one["id"] for one in told["aside"]) != sorted(culprits) or len(told["landed"]) + len(culprits) != BUILDS:
        raise Failed(f"br3 merge did not land what it should have: {done.stdout}{done.stderr}")
    (moved,) = [event for event in read_events(repository / ".git") if event.kind == "landing.completed"]
    return (datetime.fromisoformat(moved.ts) - at).total_seconds(), spent, int(told["test_runs"])


def _objects(place: Scratch, runs: int, findings: Findings) -> None:
    ids = [f"o{number:02}" for number in range(16)]
    repository = place.path / "objects"
    note("16 builds stacked")
    _fill(repository, ids)
    place.commit_all(repository, "base")
    base = CommitId(place.git(repository, "rev-parse", "main"))
    stream = ""
    for number, build in enumerate(ids):
        stream += (
            f"commit refs/heads/build/{build}\ncommitter Bench <b@example.invalid> 1700000000 +0000\ndata 4\nwork\n"
        )
        stream += f"from {base}\n"
        for at in range(number, FILES, 16 * 40):
            text = (repository / _name(at)).read_text() + f"# by {build}\n"
            stream += f"M 100644 inline {_name(at)}\ndata {len(text)}\n{text}\n"
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=repository, env=place.env, input=stream, text=True, check=True
    )
    place.git(repository, "gc", "--quiet", "--prune=now")
    plan = load(repository / "br3.toml")
    git = Git(repository / ".git")
    passengers = [
        Passenger(plan.build(build), CommitId(place.git(repository, "rev-parse", f"build/{build}"))) for build in ids
    ]
    spent, processes = [], 0
    for _ in range(runs):
        before, began = runner.calls, time.perf_counter()
        order, refused = Stack(git, base, "main", passengers).arrange(ids, {})
        spent.append(time.perf_counter() - began)
        processes = runner.calls - before
        if len(order) != len(ids) or refused:
            raise Failed("not all of them could be stacked")
    held = findings.hold("a train of 16 objects", statistics.median(spent), OBJECTS_AIM)
    rows = [["16 objects", str(runs), f"{statistics.median(spent):.3f}", str(processes), held]]
    table(f"a stack made in a repository of {FILES:,} files", ["", "runs", "seconds", "processes", "aim"], rows)
