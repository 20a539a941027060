"""Files of a commit, read and replaced as objects: no checkout, no index of the user's, no filter of content.

Processes: ``read_files`` 2 · ``tree_with`` 3, and one for each file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.repo.contents import read_blobs
from br3.repo.refs import TreeId
from br3.repo.runner import Git


@dataclass(frozen=True)
class File:
    """What a commit has at a path: git's mode (``100644``, ``100755``; a link is ``120000``) and the blob's bytes."""

    mode: str
    content: bytes

    @property
    def regular(self) -> bool:
        return self.mode.startswith("100")


def read_files(git: Git, commit: str, paths: Sequence[str]) -> dict[str, File]:
    """What ``commit`` has at ``paths``; directories have no content, and what is not there is left out."""
    if not paths:
        return {}
    found: list[tuple[str, str, str]] = []
    for record in git("ls-tree", "-z", "--full-tree", commit, "--", *paths).fields:
        facts, _, path = record.partition("\t")
        mode, kind, blob = facts.split(" ")
        found.append((path, mode, blob if kind == "blob" else ""))
    contents = read_blobs(git, [blob or "0" for _, _, blob in found])
    return {path: File(mode, content) for (path, mode, _), content in zip(found, contents, strict=True)}


def tree_with(git: Git, commit: str, files: Mapping[str, File]) -> TreeId:
    """The tree of ``commit`` with ``files`` in the place of what it has there."""
    entries = []
    for path, file in files.items():
        blob = git("hash-object", "-w", "--stdin", input=file.content).text
        entries.append(f"{file.mode} {blob}\t{path}\0")
    with tempfile.TemporaryDirectory(prefix="br3-index-") as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git("read-tree", f"{commit}^{{tree}}", env=env)
        git("update-index", "-z", "--index-info", input=os.fsencode("".join(entries)), env=env)
        return TreeId(git("write-tree", env=env).text)
