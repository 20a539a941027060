"""Conflicts foreseen: a matrix of 16 builds, beside trying each pair with `git merge` in a worktree.

A part of the landing bench. The repository has 5,000 files in 250 directories, packed; each build has four commits that
change seven files each, one of them among 40 that all builds like to change. Both sides must find the same pairs.

  git merge    for each build and base: check it out in a worktree of its own, then for each that follows
               `git merge --no-commit --no-ff`, `git diff --name-only --diff-filter=U`, `git reset --hard`
  cold         the same 136 pairs by br3 with nothing kept, in one process that is there already
  cached       again with all answers kept
  br3 conflicts            the command, from its start to its end, with 16 worktrees of which four have
                           uncommitted work; cold and cached
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import BR3, Scratch, note
from telemetry_tables import Aim, Findings, table

from br3.dispatch.conflict_answers import Answers
from br3.repo import runner
from br3.repo.refs import CommitId
from br3.repo.runner import Git

FILES, BUILDS, COMMITS, DIRTY = 5_000, 16, 4, 4
COLD_AIM, CACHED_AIM, TRIALS_AIM = Aim(1.5, "s"), Aim(0.05, "s"), Aim(10, "x", at_most=False)


def measure(place: Scratch, runs: int, findings: Findings) -> None:
    """Print the table."""
    repository = place.path / "conflicts"
    note(f"a repository of {FILES:,} files with {BUILDS} builds")
    commits = _make(place, repository)
    pairs = list(itertools.combinations(commits, 2))
    git = Git(repository / ".git")
    cache = repository / ".git" / "br3" / "conflicts.cache"
    command = [BR3, "conflicts", "--json"]
    note(f"trying {len(pairs)} pairs with git merge")
    began = time.perf_counter()
    expected = _by_merging(place, repository, commits)
    trials = time.perf_counter() - began
    times: dict[str, list[float]] = {"cold": [], "cached": [], "command, cold": [], "command, cached": []}
    processes = {}
    for _ in range(runs):
        cache.unlink(missing_ok=True)
        for name in ("cold", "cached"):
            before = runner.calls
            spent, found = _timed(lambda: Answers(git).ask(commits[0], pairs))
            times[name].append(spent)
            processes[name] = runner.calls - before
            if {pair for pair, conflict in found.items() if conflict} != expected:
                raise AssertionError("br3 and git merge do not find the same conflicts")
        cache.unlink()
        for name in ("command, cold", "command, cached"):
            times[name].append(place.run(command, repository).wall)
    median = {name: statistics.median(spent) for name, spent in times.items()}
    rows = [["git merge, in a worktree", "1", f"{trials:.3f}", "", "", ""]]
    for name in times:
        aim = {"cold": COLD_AIM, "cached": CACHED_AIM}.get(name)
        held = findings.hold(f"conflicts, {name}", median[name], aim) if aim else ""
        ratio = f"{trials / median[name]:.0f}x"
        counted = str(processes.get(name, ""))
        rows.append([name, str(runs), f"{median[name]:.3f}", ratio, counted, held])
    held = findings.hold("conflicts, cold beside git merge", trials / median["cold"], TRIALS_AIM)
    rows[1][5] += f"; {held}"
    title = f"{len(pairs)} pairs of {BUILDS} builds and base, {len(expected)} in conflict"
    table(title, ["", "runs", "seconds", "faster", "processes", "aim"], rows, left=["aim"])


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def _make(place: Scratch, repository: Path) -> list[CommitId]:
    """The repository; returns base and the tips of the builds."""
    chance = random.Random(7)
    names = [f"pkg{n // 100:02}/sub{n // 20 % 5}/m{n:04}.py" for n in range(FILES)]
    for name in names:
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"line {n} of {name} {chance.random()}\n" for n in range(60)))
    ids = [f"b{n:02}" for n in range(BUILDS)]
    plan = (
        '[plan]\nname = "bench"\njobs = 2\n[setup]\nrun = []\n[defaults]\nagent = "manual"\n[verify]\nrun = ["true"]\n'
    )
    for build in ids:
        plan += f'[[build]]\nid = "{build}"\nprompt = "x"\n[build.verify]\nrun = ["true"]\n'
    (repository / "br3.toml").write_text(plan)
    place.commit_all(repository, "base")
    place.run([BR3, "up", "--trust"], repository)
    worktrees = place.path / "conflicts.worktrees"
    commits = [CommitId(place.git(repository, "rev-parse", "main"))]
    for at, build in enumerate(ids):
        for _ in range(COMMITS):
            for name in [*chance.sample(names, 6), chance.choice(names[:40])]:
                _change(worktrees / build / name, build, chance)
            place.git(worktrees / build, "commit", "--quiet", "--all", "--message=work")
        commits.append(CommitId(place.git(worktrees / build, "rev-parse", "HEAD")))
        if at < DIRTY:
            _change(worktrees / build / names[at], build, chance)
    place.git(repository, "gc", "--quiet", "--prune=now")
    return commits


def _change(path: Path, build: str, chance: random.Random) -> None:
    lines = path.read_text().splitlines()
    lines[chance.randrange(len(lines))] = f"changed by {build} {chance.random()}"
    path.write_text("\n".join(lines) + "\n")


def _by_merging(place: Scratch, repository: Path, commits: list[CommitId]) -> set[tuple[CommitId, CommitId]]:
    """The pairs in conflict, by plain git."""
    trial = place.path / "trial"
    place.git(repository, "worktree", "add", "--quiet", "--detach", str(trial), commits[0])
    found = set()
    for at, ours in enumerate(commits):
        place.git(trial, "checkout", "--quiet", "--detach", ours)
        for theirs in commits[at + 1 :]:
            script = f"git merge --quiet --no-commit --no-ff {theirs} >/dev/null; git diff --name-only --diff-filter=U"
            if place.read(["sh", "-c", script], trial):
                found.add((ours, theirs))
            place.git(trial, "reset", "--quiet", "--hard")
    place.git(repository, "worktree", "remove", "--force", str(trial))
    return found
