"""Answers the demonstration's checklist: ``merges N`` or ``worktrees-gone``."""

import subprocess
import sys


def git(*words: str) -> list[str]:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.splitlines()


match sys.argv[1:]:
    case ["merges", expected]:
        found = len(git("rev-list", "--merges", "main"))
        print(f"{found} merge commits on main")
        sys.exit(found != int(expected))
    case ["worktrees-gone"]:
        left = [line for line in git("worktree", "list", "--porcelain") if line.startswith("branch refs/heads/build/")]
        left += git("branch", "--list", "build/*")
        print(f"{len(left)} worktrees and branches of builds are left")
        sys.exit(bool(left))
    case _:
        sys.exit("usage: check.py merges N | worktrees-gone")
