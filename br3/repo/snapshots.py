"""What is uncommitted in a worktree, as a tree and a commit, without touching the user's index or running hooks.

Committing is split so that a crash between any two steps is harmless: ``snapshot`` writes the tree and moves
nothing; ``commit_snapshot`` given the same facts makes the same commit id, so doing it again changes nothing.

Processes: ``snapshot`` 3 · ``commit_snapshot`` 4.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Br3Error
from br3.repo import merges, refs, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git

# What set-up, test runners and agents drop into a worktree and no one means to commit.
DROPPINGS = (
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


def snapshot(worktree: Path, excludes: Path, leave_out: Sequence[str] = ()) -> Snapshot:
    """The worktree's state, uncommitted work included, written as a tree through an index of its own.

    ``leave_out`` are untracked paths that are nobody's work.
    """
    git = Git(worktree)
    answers = git("rev-parse", "HEAD", "HEAD^{tree}", "--symbolic-full-name", "HEAD").text.split("\n")
    head, head_tree, ref = CommitId(answers[0]), TreeId(answers[1]), answers[2]
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    with tempfile.TemporaryDirectory(prefix="br3-index-") as scratch:
        index = Path(scratch) / "index"
        real = _index(worktree)
        if real.exists():
            shutil.copy2(real, index)  # its cached stat data spares hashing what has not changed
        env = {"GIT_INDEX_FILE": str(index)}
        spared = [f":(top,exclude,literal){path}" for path in leave_out]
        git("add", "--all", "--", ":/", *spared, env=env, config={"core.excludesFile": str(excludes)})
        tree = TreeId(git("write-tree", env=env).text)
    return Snapshot(head, branch, head_tree, tree)


def commit_snapshot(worktree: Path, seen: Snapshot, message: str, trailers: Mapping[str, str], when: str) -> CommitId:
    """Commit ``seen.tree`` on ``seen.branch``; ``when`` (RFC 3339) dates it, so that a repetition is the same commit.

    The index follows; files in the worktree are not touched. Hooks of the user's do not run: this is br3's commit.
    """
    git = Git(worktree)
    if seen.branch is None:
        raise Br3Error(f"HEAD of {worktree} is detached: nothing can be committed on a branch")
    if not seen.dirty:
        return seen.head
    dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    text = merges.with_trailers(git, message, trailers)
    made = merges.commit(git, seen.tree, [seen.head], text, env=dates)
    ref = f"refs/heads/{seen.branch}"
    if refs.resolve(git, ref) != made and not refs.move(git, ref, made, seen.head, "br3: commit what was left"):
        raise Br3Error(f"the branch {seen.branch} was moved by somebody else while br3 was committing on it")
    # --mixed: the index becomes the commit's tree, the files stay.
    git("reset", "--quiet", "--mixed", "HEAD", "--")
    return made


def _index(worktree: Path) -> Path:
    directory = worktrees.git_dir(worktree) or worktree / ".git"
    return directory / "index"
