"""What is uncommitted in a worktree, as a tree and a commit, without touching the user's index or running hooks.

Committing is split so that a crash between any two steps is harmless: ``snapshot`` writes the tree and moves
nothing; ``commit_snapshot`` given the same facts makes the same commit id, so doing it again changes nothing.

Processes: ``snapshot`` 3 · ``commit_snapshot`` 4 · ``set_back`` 3.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Br3Error
from br3.repo import merges, refs, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git, GitError

# What set-up, test runners and agents drop into a worktree and no one means to commit.
DROPPINGS = (
    ".br3-draft-*",
    ".venv/",
    "__pycache__/",
    "*.py[cod]",
    "*.egg-info/",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".coverage",
    ".coverage.*",
    "htmlcov/",
    "node_modules/",
    ".aider*",
    ".DS_Store",
)


@dataclass(frozen=True)
class Snapshot:
    """A worktree at one moment: HEAD, its branch (None: detached), HEAD's tree and the tree of all that is there."""

    head: CommitId
    branch: str | None
    head_tree: TreeId
    tree: TreeId

    @property
    def dirty(self) -> bool:
        return self.tree != self.head_tree


def write_excludes(git: Git, path: Path) -> Path:
    """Write br3's excludes, added to the user's own ``core.excludesFile``, to ``path``; returns it.

    A tracked file is never excluded by this: git applies excludes to untracked files only.
    """
    mine = "\n".join(DROPPINGS) + "\n"
    asked = git("config", "--type=path", "--get", "core.excludesFile", ok=(0, 1)).text
    fallback = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "git" / "ignore"
    theirs = Path(asked) if asked else fallback
    try:
        mine = theirs.read_text(errors="surrogateescape").rstrip("\n") + "\n" + mine
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(errors="surrogateescape") != mine:
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(mine, errors="surrogateescape")
        draft.replace(path)
    return path


def snapshot(worktree: Path, excludes: Path, leave_out: Sequence[str] = (), *, git: Git | None = None) -> Snapshot:
    """The worktree's state, uncommitted work included, written as a tree through an index of its own.

    ``leave_out`` are untracked paths that are nobody's work; ``git`` may bring a store of its own for what is written.
    """
    git = Git(worktree) if git is None else git.at(worktree)
    answers = git("rev-parse", "HEAD", "HEAD^{tree}", "--symbolic-full-name", "HEAD").text.split("\n")
    head, head_tree, ref = CommitId(answers[0]), TreeId(answers[1]), answers[2]
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    with tempfile.TemporaryDirectory(prefix="br3-index-") as scratch:
        index = Path(scratch) / "index"
        real = _index(worktree)
        if not real.exists():
            # Against an empty index everything that is not there would look deleted.
            raise Br3Error(f"the worktree {worktree} has no index: its checkout was cut off", hint="br3 up mends it")
        shutil.copy2(real, index)  # its cached stat data spares hashing what has not changed
        env = {"GIT_INDEX_FILE": str(index)}
        # A warning about line ends is for people; as an error it would end every attempt.
        config = {"core.excludesFile": str(excludes), "core.safecrlf": "false"}
        spared = [f":(top,exclude,literal){path}" for path in leave_out]
        git("add", "--all", "--", ":/", *spared, env=env, config=config)
        tree = TreeId(git("write-tree", env=env).text)
    return Snapshot(head, branch, head_tree, tree)


def commit_snapshot(
    worktree: Path, seen: Snapshot, branch: str, message: str, trailers: Mapping[str, str], when: str
) -> CommitId:
    """Commit ``seen.tree`` on ``branch``, which must be checked out; ``when`` (RFC 3339) dates it, so that
    a repetition is the same commit.

    The index follows; files in the worktree are not touched. Hooks of the user's do not run: this is br3's commit.
    """
    git = Git(worktree)
    if seen.branch != branch:
        raise Br3Error(f"{worktree} is on {seen.branch or 'a detached HEAD'}, not on {branch}: nothing is committed")
    if not seen.dirty:
        return seen.head
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    text = merges.with_trailers(git, message, trailers)
    made = merges.commit(git, seen.tree, [seen.head], text, env=dates)
    ref = f"refs/heads/{branch}"
    if refs.resolve(git, ref) != made and not refs.move(git, ref, made, seen.head, "br3: commit what was left"):
        raise Br3Error(f"the branch {branch} was moved by somebody else while br3 was committing on it")
    # --mixed: the index becomes the commit's tree, the files stay.
    git("reset", "--quiet", "--mixed", "HEAD", "--")
    return made


def set_back(worktree: Path, seen: Snapshot) -> None:
    """Make the worktree what HEAD has, given that it is ``seen``; GitError, and no file lost, when it is not any more.

    The index first takes up all that is there, so that git itself compares each file before it touches it.
    """
    git = Git(worktree)
    git("read-tree", seen.tree)
    git("update-index", "-q", "--refresh", ok=(0, 1))
    try:
        git("read-tree", "-m", "-u", seen.tree, seen.head)
    except GitError:
        git("reset", "--quiet", "--mixed", "HEAD", "--")
        raise


def new_droppings(git: Git, old: CommitId, tree: str) -> list[str]:
    """Directories of environments and caches that ``tree`` has and ``old`` has not: nobody means to land them."""
    added = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, tree).fields
    found: dict[str, int] = {}
    for path in added:
        parts = path.split("/")
        for depth, part in enumerate(parts[:-1], start=1):
            if part in (".venv", "node_modules", "__pycache__"):
                where = "/".join(parts[:depth]) + "/"
                found[where] = found.get(where, 0) + 1
                break
    return [f"{where} ({count} files)" for where, count in found.items()]


def new_gitlinks(git: Git, old: CommitId, tree: TreeId) -> list[str]:
    """Paths at which ``tree`` has a nested repository that ``old`` has not, and that is no declared submodule.

    Their commits would be recorded, but not kept: they lie in a repository that goes with the worktree.
    """
    found = []
    fields = git("diff-tree", "-r", "-z", "--raw", "--no-renames", old, tree).fields
    for facts, path in zip(fields[::2], fields[1::2], strict=False):
        if facts.split()[1] == "160000" and not facts.startswith(":160000"):
            found.append(path)
    if not found:
        return []
    blob = f"{tree}:.gitmodules"
    declared = git("config", "--blob", blob, "--get-regexp", r"^submodule\..*\.path$", ok=(0, 1, 128)).lines
    paths = {line.partition(" ")[2] for line in declared}
    return [path for path in found if path not in paths]


def file_digest(path: Path) -> str | None:
    """The digest of a file's content, a link's target, or the absence of anything; None for anything else."""
    try:
        if path.is_symlink():
            return f"link:{os.readlink(path)}"
        if not os.path.lexists(path):
            return "absent"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:
        return None


def _index(worktree: Path) -> Path:
    directory = worktrees.git_dir(worktree) or worktree / ".git"
    return directory / "index"
