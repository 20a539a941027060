"""Worktrees every day: `br3 worktree new`, `list` and `remove` beside git alone.

    python tests/bench/worktree.py [-n RUNS] [--files N] [--worktrees N]

In a repository of N files (5,000) with N worktrees (10), a commit ahead of base and one behind, half of them changed:

  git worktree add       beside `br3 worktree new`; no set-up in either. Aim: 1.15x and the start of Python
  51 git calls           `worktree list`, and per worktree rev-parse, status, rev-list, diff, merge-tree, in sequence,
                         beside `br3 worktree list` when nothing is kept (aim: 0.5x) and when it is (0.3x)
  first row              from the start of the command on a terminal to the first row on it. Aim: under 120 ms
  git worktree remove    and `branch -D`, beside `br3 worktree remove` as long as a person waits for it. Aim: 0.2x

`start` is `br3 --version`: what a row has above that is its own work. The background that deletes is waited for between
the rounds. Before anything is measured all indexes are refreshed, as those of worktrees that are used are.
"""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measuring import BR3, Row, Scratch, Spent, arguments, main, note, scratch, show

CALLS = """\
import subprocess, sys
def git(where, *words):
    done = subprocess.run(["git", *words], cwd=where, capture_output=True, text=True)
    return done.stdout
listed = git(".", "worktree", "list", "--porcelain")
for line in listed.splitlines():
    if line.startswith("worktree ") and line.endswith(tuple(sys.argv[1:])):
        where = line.split(" ", 1)[1]
        head = git(where, "rev-parse", "HEAD").strip()
        git(where, "status", "--porcelain=v2", "-z")
        git(where, "rev-list", "--left-right", "--count", "main...HEAD")
        git(where, "diff", "--shortstat", "main")
        git(where, "merge-tree", "--write-tree", "main", head)
"""


def project(place: Scratch, files: int, worktrees: int) -> Path:
    """The repository and its worktrees, as the module says."""
    repository = place.path / "repo"
    for number in range(files):
        path = repository / f"d{number // 50}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 20)
    place.commit_all(repository, "begin")
    for number in range(worktrees):
        where = place.path / "repo.worktrees" / f"w{number}"
        place.git(repository, "worktree", "add", "--quiet", "--no-track", "-b", f"w{number}", str(where))
        (where / f"new{number}").write_text("x\n" * 30)
        place.git(where, "add", "--all")
        place.git(where, "commit", "--quiet", "--message=work")
        if number % 2:
            with (where / "d0" / f"{number}.txt").open("a") as file:
                file.write("changed\n")
    (repository / "newest").write_text("x\n")
    place.git(repository, "add", "--all")
    place.git(repository, "commit", "--quiet", "--message=on")
    time.sleep(1.1)  # git hashes what was written in the second of its index, and what is older not
    for number in range(worktrees):
        subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=place.path / "repo.worktrees" / f"w{number}")
    return repository


def to_first_row(place: Scratch, repository: Path) -> float:
    """Seconds from the start of the command to its first row on a terminal."""
    leader, follower = pty.openpty()
    env = {**place.env, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    began = time.perf_counter()
    process = subprocess.Popen([BR3, "worktree", "list"], cwd=repository, env=env, stdout=follower, stderr=follower)
    os.close(follower)
    seen, first = b"", None
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # nobody writes any more
            break
        seen += chunk
        if first is None and b"w0" in seen:
            first = time.perf_counter() - began
        if not chunk:
            break
    process.wait()
    os.close(leader)
    assert first is not None
    return first


def wait_for_background(place: Scratch) -> None:
    """Until nothing lies in the trash."""
    while list((place.path / "repo.worktrees").glob(".br3-trash-*")):
        time.sleep(0.02)


def bench() -> None:
    parser = arguments(__doc__, runs=7)
    parser.add_argument("--files", type=int, default=5000, help="files in the repository (default: 5000)")
    parser.add_argument("--worktrees", type=int, default=10, help="worktrees (default: 10)")
    options = parser.parse_args()
    with scratch() as place:
        note("making the repository")
        repository = project(place, options.files, options.worktrees)
        kept = repository / ".git" / "br3"
        names = [f"/w{number}" for number in range(options.worktrees)]
        start = Row("start")
        add = Row("git worktree add")
        new = Row("br3 worktree new", beside=add)
        calls = Row(f"{5 * options.worktrees + 1} git calls")
        first, again = Row("list, nothing kept", beside=calls), Row("list again", beside=calls)
        plain = Row("git worktree remove")
        remove = Row("br3 worktree remove", beside=plain)
        rows_after: list[float] = []
        for number in range(options.runs + 1):
            note(f"round {number} of {options.runs}" if number else "a round that is not counted")
            spent: dict[str, Spent] = {start.name: place.run([BR3, "--version"], repository)}
            spent[calls.name] = place.run([sys.executable, "-I", "-S", "-c", CALLS, *names], repository)
            for name in ("distances.cache", "conflicts.cache"):
                (kept / name).unlink(missing_ok=True)
            spent[first.name] = place.run([BR3, "worktree", "list"], repository)
            spent[again.name] = place.run([BR3, "worktree", "list"], repository)
            shown = to_first_row(place, repository)
            where = str(place.path / "repo.worktrees" / "plain")
            os.sync()
            spent[add.name] = place.run(["git", "worktree", "add", "--quiet", "-b", "plain", where], repository)
            os.sync()
            spent[new.name] = place.run([BR3, "worktree", "new", "mine"], repository)
            os.sync()
            spent[plain.name] = place.run(["git", "worktree", "remove", where], repository)
            spent[plain.name] += place.run(["git", "branch", "--quiet", "-D", "plain"], repository)
            os.sync()
            spent[remove.name] = place.run([BR3, "worktree", "remove", "mine"], repository)
            wait_for_background(place)
            if number:
                rows_after.append(shown)
                for row in (start, add, new, calls, first, again, plain, remove):
                    row.runs.append(spent[row.name])
        show([start, add, new, calls, first, again, plain, remove], digits=3)
        middle, least = statistics.median(rows_after) * 1000, min(rows_after) * 1000
        print(f"first row on a terminal: median {middle:.0f} ms, least {least:.0f} ms")


if __name__ == "__main__":
    main(bench)
