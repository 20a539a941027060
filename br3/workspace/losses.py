"""What would be lost with a worktree, in words, whoever removes it: `br3 clean` a build's, `br3 worktree remove` any.

``barred`` is what force leaves alone too. Git processes: ``in_worktree`` 3, and 2
for each repository in it, 1 more for each submodule.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from br3.guard.findings import shorten
from br3.repo import changes, refs, trash, worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Worktree
from br3.wording import counted, listed, printable

MOST_SHOWN = 5


def barred(path: Path, registered: Worktree | None) -> str | None:
    """Why a worktree is not removed by force either: it is somebody's explicit wish, or cannot be undone at all."""
    quoted = shlex.quote(str(path))
    there = path.is_dir()
    if registered is not None and registered.locked and not registered.adding:
        why = f" ({printable(registered.locked_because)})" if registered.locked_because else ""
        return f"{path} is locked{why}; br3 worktree unlock {quoted}"
    if registered is not None and not there and not path.parent.is_dir():
        return f"{path} is not there, nor what holds it; mount it, or: git worktree remove {quoted}"
    mounted = trash.mounted_below(path) if there else []
    if mounted:
        return f"something is mounted at {', '.join(map(str, mounted))}; unmount it first"
    return None


def in_worktree(path: Path, registered: Worktree | None, dirty: Sequence[str]) -> Iterator[str]:
    """What would be lost of what is in the directory, by name; ``dirty`` are its uncommitted paths."""
    if is_half_made(registered):
        return
    if worktrees.git_dir(path) is None:
        yield f"{path} is no worktree any more: its .git file is gone or replaced, so nobody can tell what is in it"
    elif registered is None:
        yield f"{path} is not registered with git any more; git worktree repair {shlex.quote(str(path))}"
    else:
        if dirty:
            yield f"uncommitted changes in {path}: {listed(dirty)}"
        if unseen := changes.unseen(path):
            yield f"changes in {path} that git was told not to look at: {listed(unseen)}"
        # What such a one keeps aside until it ends (an autostash, what is left to pick) goes with the worktree.
        operation = worktrees.operation_in_progress(path)
        if operation:
            yield f"a {operation} is in progress in {path}"
        if lost := _stray_head(path) or _nested_repository(path):
            yield lost


def with_entry(git: Git, registered: Worktree) -> Iterator[str]:
    """What would be lost with the registry's entry of a worktree whose directory is gone.

    Three git processes at most, and 1 for each submodule.
    """
    if registered.branch is None and registered.head:
        head = refs.resolve(git, registered.head)  # none where its adding was cut off
        if lost := _on_no_branch(git, registered.path, head):
            yield lost
    entry = worktrees.entry_of(git, registered.path)
    if entry is None or not (entry / "index").exists():
        return
    if git("--git-dir", entry, "diff-index", "--cached", "--quiet", "HEAD", "--", ok=(0, 1, 128)).code == 1:
        yield f"what was staged in {registered.path} is in no commit"
    if lost := _module_of_its_own(entry):
        yield lost


def is_half_made(registered: Worktree | None) -> bool:
    """Whether its adding was cut off: it holds nothing but a part of its commit's files."""
    if registered is None:
        return False
    directory = worktrees.git_dir(registered.path)
    return registered.adding or (directory is not None and not (directory / "index").exists())


def use_of(worktree: Worktree) -> str:
    """How a worktree has its branch, in words."""
    return f"checked out in {worktree.path}" if worktree.branch else f"being rebased or bisected in {worktree.path}"


def commits(git: Git, base: str, branch: str, tip: str) -> str:
    """The commits of a branch that ``base`` (a ref) does not have, by their subjects."""
    count = refs.count_between(git, base, tip)
    subjects = git("log", "--format=%s", f"--max-count={MOST_SHOWN}", f"{base}..{tip}").lines
    shown = ", ".join(f"“{shorten(printable(subject))}”" for subject in subjects)
    return f"{counted(count, 'commit')} on {branch} not landed: {shown}{', …' if count > len(subjects) else ''}"


def _stray_head(worktree: Path) -> str | None:
    """Commits that only the worktree's own HEAD holds."""
    directory = worktrees.git_dir(worktree)
    head_file = (directory / "HEAD").read_bytes() if directory is not None else b""
    if head_file.startswith(b"ref: refs/heads/") and b"/.invalid" not in head_file:  # that is what reftable has there
        return None  # its branch holds them
    git = Git(worktree)
    return _on_no_branch(git, worktree, refs.resolve(git, "HEAD"))


def _on_no_branch(git: Git, worktree: Path, head: CommitId | None) -> str | None:
    if head is not None and not git("for-each-ref", "--contains", head, "--count=1", "refs/heads", "refs/tags").text:
        return f"HEAD of {worktree} holds commits ({head[:9]}) that are on no branch"
    return None


def _nested_repository(worktree: Path) -> str | None:
    """A repository inside the worktree whose objects would go with it."""
    for directory, names, files in os.walk(worktree):
        if Path(directory) == worktree:
            names[:] = [n for n in names if n not in (".venv", "node_modules")]
        elif ".git" in names or ".git" in files:
            if _is_ours(worktree, Path(directory)):
                return f"{directory} is a worktree of its own; remove that first"
            # Fine as long as all there is came from its remote, or went there, and nothing was changed.
            nested = Git(Path(directory))
            if nested("status", "--porcelain", ok=(0, 128)).out.strip():
                return f"{directory} is a repository of its own, with uncommitted changes"
            if _has_own(nested):
                return f"{directory} is a repository of its own, with commits or a stash that no remote of it has"
    return _module_of_its_own(worktrees.git_dir(worktree) or worktree / ".git")


def _module_of_its_own(git_dir: Path) -> str | None:
    """A submodule with something of its own, checked out or not: it goes with the entry of its worktree."""
    for module in _modules(git_dir):
        # Of one that is not checked out any more, the working tree that it names may be gone.
        if _has_own(Git(module, (("GIT_DIR", str(module)), ("GIT_WORK_TREE", str(module))))):
            return f"the submodule's repository {module} has commits or a stash that no remote of it has"
    return None


def _has_own(nested: Git) -> bool:
    """Whether a repository has commits that none of its remotes has, or git cannot tell."""
    tips = ("HEAD", "refs/stash", "--branches", "--not", "--remotes", "--")
    own = nested("rev-list", "--max-count=1", "--ignore-missing", *tips, ok=(0, 128))
    return own.code != 0 or bool(own.text)


def _modules(git_dir: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(git_dir / "modules"):
        if "HEAD" in files and "objects" in names:
            yield Path(directory)
            names[:] = [name for name in names if name == "modules"]


def _is_ours(worktree: Path, nested: Path) -> bool:
    """Whether what stands in a worktree is another one of the same repository."""
    mine, its = worktrees.claimed_by(worktree), worktrees.claimed_by(nested)
    return mine is not None and its is not None and worktrees.same_path(mine.parent, its.parent)


def more(things: Sequence[object]) -> str:
    """How many there are beyond those that are shown."""
    return f" and {len(things) - MOST_SHOWN} more" if len(things) > MOST_SHOWN else ""
