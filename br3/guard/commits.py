"""Scans commits: what each of them added, though a later one may have taken it out again.

Of a merge only what none of its parents has: that is what the merge itself added.
"""

from __future__ import annotations

import re

from br3.guard.changed import MOST_BYTES, Looking, only_new, without_large
from br3.guard.findings import Outcome
from br3.guard.patches import OPTIONS, Change, read_changes
from br3.guard.plumbing import CannotAsk, Objects, ask
from br3.guard.settings import Settings

# So that the ids fit into a pipe at once, see plumbing.ask.
_BATCH = 200
_DIFF = ("diff-tree", "-r", "--root")
_HEADER = re.compile(rb"([0-9a-f]{40,64})[\0\n]")


def scan(ids: list[str], settings: Settings, *, directory: str = ".") -> Outcome:
    """What is wrong with what these commits added. CannotAsk when one does not exist, or git fails."""
    outcome = Outcome()
    with Objects(directory) as objects:
        looking = Looking(directory, settings, objects, outcome)
        for first in range(0, len(ids), _BATCH):
            some = [line.split() for line in _parents(ids[first : first + _BATCH], directory)]
            plain = iter(_plain([words[0] for words in some if len(words) < 3], looking))
            for commit, *parents in some:
                looking.look(_merged(commit, parents, looking) if len(parents) > 1 else next(plain), commit)
    outcome.sort()
    return outcome


def _parents(ids: list[str], directory: str) -> list[str]:
    """``ID PARENT…`` of each commit."""
    given = "".join(f"{commit}\n" for commit in ids).encode()
    printed = ask("rev-list", "--no-walk=unsorted", "--parents", "--stdin", directory=directory, given=given) or b""
    return printed.decode().splitlines()


def _plain(ids: list[str], looking: Looking) -> list[list[Change]]:
    """What each commit with at most one parent changed."""
    if not ids:
        return []
    given = "".join(f"{commit}\n" for commit in ids).encode()
    printed = ask(*_DIFF, "--stdin", *OPTIONS, directory=looking.directory, given=given, most=MOST_BYTES)
    if printed is None:
        return [_one(_DIFF, looking, "--no-commit-id", commit) for commit in ids]
    changes: dict[str, list[Change]] = {}
    at = 0
    while at < len(printed):
        header = _HEADER.match(printed, at)
        if header is None:
            raise CannotAsk("git diff-tree printed something unexpected")
        changes[header[1].decode()], at = read_changes(printed, header.end())
        if printed[at : at + 1] in (b"\n", b"\0"):
            at += 1
    return [changes.get(commit, []) for commit in ids]


def _merged(commit: str, parents: list[str], looking: Looking) -> list[Change]:
    """The files that differ from those of all parents, each with the lines that none of them has."""
    printed = ask("diff-tree", "-r", "-c", "--name-only", "--no-commit-id", "-z", commit, directory=looking.directory)
    names = [b":(top,literal)" + name for name in (printed or b"").split(b"\0") if name]
    if not names:
        return []
    import os

    only = ("--", *(os.fsdecode(name) for name in names))
    sides = [
        read_changes(ask("diff-tree", "-r", *OPTIONS, parent, commit, *only, directory=looking.directory) or b"")[0]
        for parent in parents
    ]
    changes = sides[0]
    for side in sides[1:]:
        changes = only_new(changes, side)
    return changes


def _one(command: tuple[str, ...], looking: Looking, *words: str) -> list[Change]:
    """The changes of one diff whose large files are left out first."""
    large, rest = without_large(looking, *command, *words)
    printed = ask(*command, *OPTIONS, *words, *rest, directory=looking.directory) or b""
    return read_changes(printed)[0] + large
