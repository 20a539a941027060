"""Clean-up: what a person waits for until a worktree and its branch are gone, through br3 and the plain way.

    python tests/bench/clean.py [-n RUNS] [--files N] [--ignored N]

In a repository of N files (5,000), with an environment of N more files (5,000) that git ignores in the worktree:

  plain       `git worktree remove --force` and `git branch -D`
  br3 clean   the whole command: Python's start, the checks, the removal
  removal     the part of it that removes: rename, registry entry, branch, the start of the background

The background that deletes is waited for between the rounds, not within them. Aim: the removal takes milliseconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from measuring import BR3, Row, Scratch, Spent, arguments, main, note, scratch, show

PLAN = '[plan]\nname = "bench"\n[verify]\nrun = ["true"]\n[setup]\n[[build]]\nid = "a"\nagent = "manual"\n'


def project(place: Scratch, files: int) -> Path:
    """A repository of that many files, in directories of fifty."""
    repository = place.path / "repo"
    for number in range(files):
        path = repository / f"d{number // 50}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 20)
    (repository / ".gitignore").write_text(".venv/\n")
    (repository / "br3.toml").write_text(PLAN)
    place.commit_all(repository, "begin")
    return repository


def fill(worktree: Path, ignored: int) -> None:
    """What set-up would make: that many ignored files."""
    for number in range(ignored):
        path = worktree / ".venv" / f"d{number // 50}" / f"{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 2000)


def removal(repository: Path, worktree: Path) -> Spent:
    """Remove the worktree and its branch as ``br3 clean`` does once it has looked."""
    from br3.repo import refs, worktrees
    from br3.repo.refs import NULL_ID
    from br3.repo.worktrees import discover

    git = discover(repository).git
    tip = refs.resolve(git, "refs/heads/build/a")
    before, began = time.process_time(), time.perf_counter()
    worktrees.remove(git, worktree)
    refs.move_together(git, [("refs/heads/build/a", NULL_ID, str(tip))], "br3 clean")
    worktrees.empty_trash(worktree.parent)
    return Spent(time.perf_counter() - began, time.process_time() - before)


def wait_for_background(worktree: Path) -> None:
    """Until nothing is left of it."""
    while worktree.parent.exists() and any(worktree.parent.iterdir()):
        time.sleep(0.02)


def bench() -> None:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--files", type=int, default=5000, help="files in the repository (default: 5000)")
    parser.add_argument("--ignored", type=int, default=5000, help="ignored files in the worktree (default: 5000)")
    options = parser.parse_args()
    with scratch() as place:
        os.environ.update({k: v for k, v in place.env.items() if k.startswith("GIT_")})
        repository = project(place, options.files)
        worktree = place.path / "repo.worktrees" / "a"
        plain = Row("plain")
        whole, part = Row("br3 clean", beside=plain), Row("removal", beside=plain)
        for number in range(options.runs):
            note(f"round {number + 1} of {options.runs}")
            for row in (plain, whole, part):
                place.read([BR3, "up", "--trust"], repository)
                fill(worktree, options.ignored)
                if row is plain:
                    spent = place.run(["git", "worktree", "remove", "--force", str(worktree)], repository)
                    spent += place.run(["git", "branch", "--quiet", "-D", "build/a"], repository)
                elif row is whole:
                    spent = place.run([BR3, "clean"], repository)
                else:
                    spent = removal(repository, worktree)
                row.runs.append(spent)
                wait_for_background(worktree)
                place.read([BR3, "clean"], repository)
        show([plain, whole, part], digits=3)


if __name__ == "__main__":
    main(bench)
