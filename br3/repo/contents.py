"""What a commit holds, read without a checkout: its files, their bytes, and who has changed them lately.

Processes: ``files_at`` 1 · ``read_blobs`` 1 (0 for none) · ``recent_changes`` 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from br3.repo.runner import Git


@dataclass(frozen=True)
class TreeFile:
    """A regular file of a commit: its path, the id of its blob, its size."""

    path: str
    blob: str
    size_bytes: int


@dataclass(frozen=True)
class Changed:
    """How often a file was changed in the commits that were looked at, and by how many authors."""

    commits: int
    authors: int


def files_at(git: Git, commit: str) -> list[TreeFile]:
    """The regular files of a commit (no links, no submodules), in the order of git's trees."""
    found = []
    for record in git("ls-tree", "-r", "-l", "-z", "--full-tree", commit).out.split(b"\0"):
        facts, _, path = record.partition(b"\t")
        words = facts.split()
        if len(words) == 4 and words[0].startswith(b"100") and words[3].isdigit():
            found.append(TreeFile(os.fsdecode(path), words[2].decode(), int(words[3])))
    return found


def read_blobs(git: Git, blobs: Sequence[str]) -> Iterator[bytes]:
    """The bytes of each blob, in the order asked for; empty where there is none. All of them are in memory at once."""
    if not blobs:
        return
    out = git("cat-file", "--batch", "--buffer", input="".join(f"{blob}\n" for blob in blobs).encode()).out
    at = 0
    for _ in blobs:
        end = out.index(b"\n", at)
        words = out[at:end].split()
        at = end + 1
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            yield out[at : at + size]
            at += size + 1
        else:
            yield b""


def recent_changes(git: Git, commit: str, commits: int) -> dict[str, Changed]:
    """By path, what the last so many commits below ``commit`` changed; merges are left out."""
    out = git(
        "log",
        "-z",
        f"--max-count={commits}",
        "--no-merges",
        "--no-renames",
        "--name-only",
        "--format=%x01%ae",
        commit,
        "--",
    ).out
    times: dict[str, int] = {}
    people: dict[str, set[bytes]] = {}
    for record in out.split(b"\x01")[1:]:
        author, *paths = record.split(b"\0")
        for raw in paths:
            name = os.fsdecode(raw.removeprefix(b"\n"))
            if name:
                times[name] = times.get(name, 0) + 1
                people.setdefault(name, set()).add(author)
    return {path: Changed(count, len(people[path])) for path, count in times.items()}
