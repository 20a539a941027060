"""Scans commits: what each of them added, though a later one may have taken it out again.

Of a merge only what none of its parents has: that is what the merge itself added.
"""

from __future__ import annotations

import os
import re

from br3.guard import changed
from br3.guard.changed import Looking, changes_of, only_new
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
    printed = ask(*_DIFF, "--stdin", *OPTIONS, directory=looking.directory, given=given, most=changed.MOST_BYTES)
    if printed is None:
        return [changes_of(looking, *_DIFF, "--no-commit-id", before=(commit,)) for commit in ids]
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
    names = [os.fsdecode(name) for name in (printed or b"").split(b"\0") if name]
    portions = [names[at : at + changed.PORTION_PATHS] for at in range(0, len(names), changed.PORTION_PATHS)]
    return [change for some in portions for change in _merged_files(commit, parents, looking, some)]


def _merged_files(commit: str, parents: list[str], looking: Looking, names: list[str]) -> list[Change]:
    first, *sides = (changes_of(looking, "diff-tree", "-r", before=(parent, commit), only=names) for parent in parents)
    for side in sides:
        first = only_new(first, side)
    return first
