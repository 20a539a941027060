"""Reading what ``git merge-tree --stdin`` says of merges that were tried: which files conflict, and how.

The format is that of git-merge-tree(1), "OUTPUT", in its form with NULs. The types of conflicts are stable strings, the
messages beside them are not and are passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

UNRELATED = "unrelated histories"
"""Kind of a conflict without files: git refuses to merge two commits that have no common ancestor."""
UNKNOWN = "unknown"

_TYPE = re.compile(r"CONFLICT ?\((.*)\)")
# Types that say one thing for the user; what is not here is told in git's words.
_KINDS = {
    "contents": "content",
    "rename involved in collision": "rename/add",
    "directory rename suggested": "directory rename",
    "file in way of directory rename": "directory rename",
    "directory rename collision": "directory rename",
    "directory rename unclear split": "directory rename",
}
_SUBMODULE = "160000"


@dataclass(frozen=True)
class Conflict:
    """Why two commits do not merge: files by kind (content, add/add, modify/delete, rename/rename, binary, …)."""

    kinds: Mapping[str, tuple[str, ...]]

    @property
    def files(self) -> tuple[str, ...]:
        """All files in conflict, each once."""
        return tuple(dict.fromkeys(file for files in self.kinds.values() for file in files))

    @property
    def entries(self) -> frozenset[tuple[str, str]]:
        """Kind and file, to see what one conflict has and another has not."""
        return frozenset((kind, file) for kind, files in self.kinds.items() for file in files)


@dataclass(frozen=True)
class Trial:
    """One merge as git told it. ``stages`` are (mode, stage, path), ``told`` are (type, paths)."""

    clean: bool
    stages: tuple[tuple[str, str, str], ...]
    told: tuple[tuple[str, tuple[str, ...]], ...]


def trials(out: bytes) -> Iterator[Trial]:
    """The merges in the output of one process, in order; one that is cut off at the end is left out."""
    fields = [os.fsdecode(field) for field in out.split(b"\0")]
    at = 0
    try:
        while fields[at]:
            clean, at = fields[at] == "1", at + 2
            stages = []
            while fields[at]:
                facts, _, path = fields[at].partition("\t")
                mode, _, stage = facts.split(" ")
                stages.append((mode, stage, path))
                at += 1
            told = []
            if not clean:
                at += 1
                # Ends with an empty field, or with git's advice on submodules, which has no NUL of its own.
                while fields[at].isdigit():
                    count = int(fields[at])
                    told.append((fields[at + count + 1], tuple(fields[at + 1 : at + 1 + count])))
                    at += count + 3
            at += 1
            if at >= len(fields):
                return
            yield Trial(clean, tuple(stages), tuple(told))
    except (IndexError, ValueError):
        return


def conflict_of(trial: Trial, commits: Sequence[str]) -> Conflict | None:
    """What is in conflict, in the user's names for files; None when the two ``commits`` merge."""
    if trial.clean:
        return None
    stages: dict[str, set[str]] = {}
    modes: dict[str, set[str]] = {}
    for mode, stage, path in trial.stages:
        name = _own_name(path, commits)
        stages.setdefault(name, set()).add(stage)
        modes.setdefault(name, set()).add(mode)
    found: dict[str, dict[str, None]] = {}
    for said, paths in trial.told:
        match = _TYPE.fullmatch(said)
        if match is None:
            continue
        names = [_own_name(path, commits) for path in paths]
        for name in [name for name in names if name in stages] or names:
            kind = _kind(match[1], stages.get(name, set()), modes.get(name, set()))
            found.setdefault(kind, {})[name] = None
    for name in found.get("binary", ()):
        found.get("content", {}).pop(name, None)  # git says both
    told = {name for names in found.values() for name in names}
    silent = [name for name in stages if name not in told]
    if silent or not told:
        found.setdefault(UNKNOWN, {}).update(dict.fromkeys(silent))
    return Conflict({kind: tuple(names) for kind, names in found.items() if names or not told})


def _kind(said: str, stages: set[str], modes: set[str]) -> str:
    if said.startswith("submodule") or (said == "contents" and _SUBMODULE in modes):
        return "submodule"
    if said == "contents" and "1" not in stages:
        return "add/add"
    return _KINDS.get(said, said)


def _own_name(path: str, commits: Sequence[str]) -> str:
    """The path without the ``~COMMIT`` that git adds where a file and a directory want one name."""
    for commit in commits:
        before, mark, after = path.rpartition(f"~{commit}")
        if mark and re.fullmatch(r"(_\d+)?", after):
            return before
    return path
