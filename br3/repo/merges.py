"""Merging without a checkout: trees by ``merge-tree``, commits by ``commit-tree``.

Merges that are only tried write into a store of their own (``passing``), which vanishes with its objects; a matrix of
16 builds would otherwise leave 3,000 loose ones. Outside of a worktree git 2.39 reads no ``.gitattributes``, so a merge
driver such as ``union`` would be passed over: ``attributed`` brings those of a commit.

Processes: ``merge_trees`` 1 · ``commit`` 1 · ``with_trailers`` 1 · ``pick`` 4 · ``predict`` one for each core at most,
and two for each pair that git refuses to try · ``settings`` 2 · ``attributes_of`` 2, without any such file 1.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from br3.errors import Br3Error
from br3.repo import radar
from br3.repo.radar import Conflict
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git, GitError

Pair = tuple[CommitId, CommitId]

_MOST_PROCESSES = 4
_LEAST_PAIRS = 8
"""Starting a process takes as long as trying this many pairs."""
# What is thrown away need not survive a crash of the machine.
_THROWN_AWAY = {"core.fsync": "none"}
_NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "br3"), ("EMAIL", "br3@localhost"), ("DATE", "2026-01-01T00:00:00Z"))
}


@dataclass(frozen=True)
class Merged:
    """The outcome of merging two commits: the tree, and the paths in conflict (empty: clean)."""

    tree: TreeId
    conflicts: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not self.conflicts


def merge_trees(git: Git, ours: str, theirs: str) -> Merged:
    """Merge two commits as trees. The tree of a conflicting merge holds conflict markers: never commit it."""
    done = git("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs, ok=(0, 1))
    tree, *conflicts = done.fields
    if done.code == 1 and not conflicts:
        conflicts = ["(git names no file)"]
    return Merged(TreeId(tree), tuple(dict.fromkeys(conflicts)))


def commit(
    git: Git,
    tree: TreeId,
    parents: Sequence[CommitId],
    message: str,
    *,
    env: Mapping[str, str] | None = None,
    sign: bool = False,
) -> CommitId:
    """Write a commit object; author and committer as git has them, unless ``env`` says otherwise; ``sign``: signed
    with the user's key."""
    words = [word for parent in parents for word in ("-p", parent)] + (["-S"] if sign else [])
    try:
        done = git("commit-tree", *words, "-F", "-", tree, input=message.encode(errors="surrogateescape"), env=env)
    except GitError as error:
        raise (unsigned("commit", error.stderr) if sign else error) from None
    return CommitId(done.text)


def unsigned(what: str, said: str) -> Br3Error:
    """What to say when git could not write a signed ``commit`` or ``tag``, and has ``said`` why."""
    return Br3Error(
        f"git could not write a signed {what}: {said.strip()}",
        hint=f"git config --get-regexp '^gpg|sign' shows how it is to; without: git config {what}.gpgSign false",
    )


def pick(git: Git, onto: TreeId, before: TreeId, after: TreeId) -> Merged:
    """The change from the tree ``before`` to ``after``, made to the tree ``onto``.

    Git 2.39's merge-tree takes no merge base, so the trees are given a history in which ``before`` is one. No process
    where nothing has to be merged, else 4.
    """
    if before == onto:
        return Merged(after, ())
    dates = {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}
    root = commit(git, before, [], "base", env=dates)
    ours, theirs = (commit(git, tree, [root], "side", env=dates) for tree in (onto, after))
    return merge_trees(git, ours, theirs)


def signs(git: Git, key: str = "commit.gpgSign") -> bool:
    """Whether the user has commits (or what ``key`` is about) signed."""
    return git("config", "--type=bool", "--get", key, ok=(0, 1)).text == "true"


def with_trailers(git: Git, message: str, trailers: Mapping[str, str]) -> str:
    """``message`` with trailers in its last block, by git's own rules; those that are there already stay."""
    words = [word for key, value in trailers.items() for word in ("--trailer", f"{key}: {value}")]
    text = message.rstrip("\n") + "\n"
    done = git(
        "interpret-trailers",
        "--no-divider",
        "--if-exists",
        "doNothing",
        *words,
        input=text.encode(errors="surrogateescape"),
    )
    return done.text + "\n"


@contextmanager
def passing(git: Git) -> Iterator[Git]:
    """Git that finds all objects of the repository and writes new ones where they vanish at the end.

    ``git`` is that of the common directory.
    """
    known = os.fspath(git.directory / "objects")
    if ":" in known or known.startswith('"'):
        known = '"' + known.replace("\\", "\\\\").replace('"', '\\"') + '"'
    import tempfile  # who only asks for what is kept does without

    with tempfile.TemporaryDirectory(prefix="br3-objects-") as store:
        yield Git(
            git.directory,
            (*git.variables, ("GIT_OBJECT_DIRECTORY", store), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", known)),
        )


def passing_commit(git: Git, tree: TreeId, parent: CommitId) -> CommitId:
    """A commit of what is uncommitted, for trying merges: the same tree on the same parent is the same commit."""
    return commit(git, tree, [parent], "uncommitted\n", env=_NOBODY)


def attributes_of(git: Git, commit: str) -> dict[str, bytes]:
    """The ``.gitattributes`` files of a commit: path → content."""
    blobs: dict[str, str] = {}
    for entry in git("ls-tree", "-r", "-z", "--full-tree", commit).fields:
        facts, _, path = entry.partition("\t")
        mode, _, blob = facts.split(" ")
        parts = PurePosixPath(path).parts
        # A tree can be made by hand; git itself would not check out such paths.
        if parts[-1] == ".gitattributes" and mode.startswith("100") and not {"..", ".git"} & set(parts):
            blobs[path] = blob
    if not blobs:
        return {}
    told = git("cat-file", "--batch", input="".join(f"{blob}\n" for blob in blobs.values()).encode()).out
    found = {}
    for path in blobs:
        head, _, told = told.partition(b"\n")
        size = int(head.split()[2])
        found[path], told = told[:size], told[size + 1 :]
    return found


@contextmanager
def attributed(git: Git, attributes: Mapping[str, bytes]) -> Iterator[Git]:
    """Git whose merges heed these ``.gitattributes``; ``git`` is that of the common directory."""
    if not attributes:
        yield git
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="br3-attributes-") as scratch:
        for path, content in attributes.items():
            target = Path(scratch, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        there = (("GIT_DIR", os.fspath(git.directory)), ("GIT_WORK_TREE", scratch))
        yield Git(Path(scratch), (*git.variables, *there))


def settings(git: Git) -> str:
    """A digest of what, beside commits and their attributes, decides how merges go: git's version and configuration."""
    seen = hashlib.sha256(git("version").out)
    keys = r"^(merge\.|diff\.|core\.(attributesfile|autocrlf|eol)$)"
    seen.update(git("config", "-z", "--get-regexp", keys, ok=(0, 1)).out)
    try:
        seen.update((git.directory / "info" / "attributes").read_bytes())
    except OSError:
        pass
    return seen.hexdigest()[:16]


def predict(git: Git, pairs: Sequence[Pair]) -> dict[Pair, Conflict | None]:
    """For each pair of commits why they do not merge, or None: they do. Nothing is merged.

    One process tries many pairs: that takes a third of the time of a process for each, and less with ``passing``.
    """
    wanted = list(dict.fromkeys(pairs))
    processes = max(1, min(os.cpu_count() or 1, _MOST_PROCESSES, len(wanted) // _LEAST_PAIRS))
    shares = [wanted[n::processes] for n in range(processes)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(processes) as pool:
        found: dict[Pair, Conflict | None] = {}
        for share in pool.map(lambda share: _tried(git, share), shares):
            found |= share
    return found


def _tried(git: Git, pairs: Sequence[Pair]) -> dict[Pair, Conflict | None]:
    found: dict[Pair, Conflict | None] = {}
    waiting = list(pairs)
    while waiting:
        asked = "".join(f"{a} {b}\n" for a, b in waiting).encode()
        words = ("merge-tree", "--write-tree", "-z", "--stdin")
        done = git(*words, input=asked, ok=range(256), config=_THROWN_AWAY)
        answers = list(radar.trials(done.out))
        for pair, trial in zip(waiting, answers, strict=False):
            found[pair] = radar.conflict_of(trial, pair)
        if done.code != 0:
            # One that git refuses to try ends the process; those after it are asked again.
            refused = waiting[len(answers)]
            if b"unrelated histories" not in done.err:
                raise GitError([*words, *refused], done.code, os.fsdecode(done.err))
            found[refused] = Conflict({radar.UNRELATED: ()})
            answers.append(radar.Trial(False, (), ()))
        waiting = waiting[len(answers) :]
    return found
