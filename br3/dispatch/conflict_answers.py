"""Whether two commits merge, kept: an answer for two ids never changes while git and its settings are the same.

``<common dir>/br3/conflicts.cache`` has a line per answer: a digest of all that decides beside the commits, the two
ids in order, and the files by kind as JSON, or ``-`` where they merge. Lines are only appended, each after a newline of
its own, so that what a killed process left of one spoils no other; above a bound the older half goes, by a rename. What
two processes write at once may be lost that way, and is found out again.

Git processes: ``ask`` none when all is known and ``base`` was looked at before, but for the two of ``settings``, once
for each ``Answers``; ``newest`` none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence

from br3.repo import merges
from br3.repo.merges import Pair
from br3.repo.radar import Conflict
from br3.repo.refs import CommitId
from br3.repo.runner import Git

_BOUND_BYTES = 1_000_000
_MERGES = b"-"
_ATTRIBUTES = b"attributes"
"""Stands for the second id on a line that has a digest of a commit's ``.gitattributes``."""

_Key = tuple[bytes, bytes, bytes]


class Answers:
    """What is known of a repository's pairs. ``git`` is that of its common directory."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._path = git.directory / "br3" / "conflicts.cache"
        self._settings: str | None = None

    def ask(self, base: CommitId, pairs: Iterable[Pair], *, git: Git | None = None) -> dict[Pair, Conflict | None]:
        """For each pair why it does not merge, or None; what is not known is tried.

        The ``.gitattributes`` are those of ``base``. ``git`` brings a store in which ids are that the repository's
        own does not have.
        """
        wanted = list(dict.fromkeys(pairs))
        known = self._read()
        attributes, decided = self._deciding(known, base)
        found: dict[Pair, Conflict | None] = {}
        unknown: list[Pair] = []
        for pair in wanted:
            try:
                found[pair] = _told(known[(decided, *_ids(pair))])
            except (KeyError, ValueError):
                unknown.append(pair)
        if unknown:
            if attributes is None:
                attributes = merges.attributes_of(self._git, base)
            fresh = self._try(unknown, attributes, git)
            found |= fresh
            lines = [b" ".join((decided, *_ids(pair), _said(conflict))) for pair, conflict in fresh.items()]
            self._append(lines)
        return found

    def newest(self, pairs: Iterable[Pair]) -> dict[Pair, Conflict]:
        """Those of the pairs that are known not to merge, by the newest answer whatever git's settings were."""
        by_ids = {key[1:]: payload for key, payload in self._read().items()}
        found: dict[Pair, Conflict] = {}
        for pair in pairs:
            try:
                conflict = _told(by_ids[_ids(pair)])
            except (KeyError, ValueError):
                continue
            if conflict is not None:
                found[pair] = conflict
        return found

    def _try(
        self, pairs: Sequence[Pair], attributes: Mapping[str, bytes], git: Git | None
    ) -> dict[Pair, Conflict | None]:
        if git is None:
            with merges.passing(self._git) as passing:
                return self._try(pairs, attributes, passing)
        with merges.attributed(git, attributes) as heeding:
            return merges.predict(heeding, pairs)

    def _deciding(self, known: Mapping[_Key, bytes], base: CommitId) -> tuple[Mapping[str, bytes] | None, bytes]:
        """The attributes, if they had to be read, and the digest of all that decides."""
        if self._settings is None:
            self._settings = merges.settings(self._git)
        attributes = None
        digest = known.get((_MERGES, base.encode(), _ATTRIBUTES), b"")
        if len(digest) != 16:
            attributes = merges.attributes_of(self._git, base)
            digest = hashlib.sha256(repr(sorted(attributes.items())).encode()).hexdigest()[:16].encode()
            self._append([b" ".join((_MERGES, base.encode(), _ATTRIBUTES, digest))])
        return attributes, hashlib.sha256(self._settings.encode() + digest).hexdigest()[:16].encode()

    def _read(self) -> dict[_Key, bytes]:
        try:
            data = self._path.read_bytes()
        except OSError:
            return {}
        known: dict[_Key, bytes] = {}
        for line in data.split(b"\n"):
            fields = line.split(b" ", 3)
            if len(fields) == 4:
                key = (fields[0], fields[1], fields[2])
                known.pop(key, None)  # so that the newest stands last
                known[key] = fields[3]
        return known

    def _append(self, lines: Sequence[bytes]) -> None:
        """Keep what was found; a disk that takes nothing makes the next one slower, and nothing else."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, b"".join(b"\n" + line for line in lines) + b"\n")
                grown = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if grown > _BOUND_BYTES:
                data = self._path.read_bytes()
                half = data[data.index(b"\n", len(data) // 2) :]
                draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                draft.write_bytes(half)
                draft.replace(self._path)
        except (OSError, ValueError):
            pass


def _ids(pair: Pair) -> tuple[bytes, bytes]:
    """Two commits merge, or do not, whichever comes first."""
    a, b = sorted(commit.encode() for commit in pair)
    return a, b


def _said(conflict: Conflict | None) -> bytes:
    return _MERGES if conflict is None else json.dumps(conflict.kinds, separators=(",", ":")).encode("ascii")


def _told(payload: bytes) -> Conflict | None:
    """ValueError when it is cut off."""
    if payload == _MERGES:
        return None
    return Conflict({kind: tuple(files) for kind, files in json.loads(payload).items()})
