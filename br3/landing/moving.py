"""Moving base: the ref by compare-and-swap, then what is checked out of it, by git's two-tree read.

    trial (read-tree -n) → landing.intent → update-ref → landing.moved → read-tree → landing.completed

Whatever is cut off is finished by ``recover``: when the ref has not moved, nothing has happened; when it has, the
checkout is brought along. Git's two-tree read carries unrelated changes and refuses overlapping ones before it writes
anything.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, Refused
from br3.repo import refs, worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError
from br3.repo.worktrees import Repository
from br3.telemetry import Event, Journal
from br3.wording import listed


class BaseMoved(Exception):
    """Somebody else moved base meanwhile: the train has to be made again."""


@dataclass(frozen=True)
class Move:
    """A step of base: from the commit ``old`` to ``new``, which contains ``builds`` (id → tip of its branch).

    ``landed_as``: the commit on base that brought each build. ``also``: refs that move in the same transaction, as
    (ref, new, old), ids of zeros for none. ``what`` is the command that moves it.
    """

    base: str
    old: CommitId
    new: CommitId
    builds: Mapping[str, CommitId] = field(default_factory=dict)
    landed_as: Mapping[str, CommitId] = field(default_factory=dict)
    also: tuple[tuple[str, str, str], ...] = ()
    what: str = "merge"


def checkouts_of(repository: Repository, base: str) -> list[Path]:
    """The worktrees in which base is checked out; Refused when an operation is in progress in one."""
    listed = worktrees.list_worktrees(repository.git)
    # Git lists what a symbolic ref stands for; and of a rebase the branch that it is going to move in the end.
    names = {base, refs.behind(repository.git, base)}
    found = [w.path for w in listed if names & {w.branch, w.held} and not w.bare and w.path.is_dir()]
    found = [_real(repository, path) for path in found]
    for path in found:
        operation = worktrees.operation_in_progress(path)
        if operation:
            end = "reset" if operation == "bisect" else "--abort"
            raise Refused(
                f"a {operation} is in progress in {path}, where {base} is checked out",
                hint=f"finish it, or: git -C {shlex.quote(str(path))} {operation} {end}",
            )
    return found


def _real(repository: Repository, path: Path) -> Path:
    """The checkout that git lists as ``path``: for one made with --separate-git-dir it lists the git directory."""
    if not worktrees.same_path(path, repository.common_dir):
        return path
    here = repository.worktree
    if here is not None and worktrees.same_path(worktrees.git_dir(here) or here, repository.common_dir):
        return here
    raise Refused(
        f"git does not say where the checkout of {repository.common_dir} is", hint="call br3 from inside that checkout"
    )


def try_checkouts(paths: Sequence[Path], old: CommitId, new: CommitId) -> None:
    """Refused, with the files, when a checkout cannot follow from ``old`` to ``new`` without losing something."""
    for path in paths:
        git = Git(path)
        _refuse_locked_index(path)
        git("update-index", "-q", "--refresh", ok=(0, 1))
        _refuse_ignored(git, path, old, new)
        done = git("read-tree", "-n", "-m", "-u", old, new, ok=(0, 1, 128))
        if done.code != 0:
            changed = set(_changed(git, old, new))
            mine = [p for p in worktrees.uncommitted(path) if p in changed or _below(p, changed)]
            untracked = len(worktrees.tracked(path, mine)) < len(mine)
            stash = " (git stash -u: not all are tracked)" if untracked else ""
            files = listed(mine, 8) or os.fsdecode(done.err).strip().splitlines()[0]
            raise Refused(
                f"uncommitted changes in {path} overlap with what would land: {files}",
                hint=f"commit or stash them there{stash}, then the same command again; nothing was moved",
            )


def _refuse_locked_index(path: Path) -> None:
    lock = (worktrees.git_dir(path) or path / ".git") / "index.lock"
    if lock.exists():
        raise Refused(
            f"git's index in {path} is locked: another git is at work there, or one was killed",
            hint=f"wait for it; when none runs: rm {shlex.quote(str(lock))}",
        )


def _refuse_ignored(git: Git, path: Path, old: CommitId, new: CommitId) -> None:
    """Git would overwrite an ignored file that stands where a new one lands, or in a directory that gives way to one;
    it may be all that there is of it."""
    added = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, new).fields
    there = sorted(_in_the_way(path, added))
    if not there:
        return
    within = [f":(top,literal){p}/" for p in there if (path / p).is_dir() and not (path / p).is_symlink()]
    names = b"\0".join(map(os.fsencode, there)) + b"\0"
    ignored = git("check-ignore", "-z", "--stdin", input=names, ok=(0, 1)).fields
    if within:
        ignored += git("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *within).fields
    if ignored:
        raise Refused(
            f"ignored files in {path} stand where files would land: {', '.join(ignored[:8])}",
            hint="move them away, then the same command again",
        )


def _in_the_way(top: Path, names: Iterable[str]) -> set[str]:
    """What is there at ``names``, or where one of them needs a directory and something else is."""
    found = set()
    modes: dict[str, int | None] = {}
    for name in names:
        parts = name.split("/")
        for part in ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1)):
            if part not in modes:
                modes[part] = _mode_of(top / part)
            mode = modes[part]
            if mode is None:
                break
            if part == name or not stat.S_ISDIR(mode):
                found.add(part)
                break
    return found


def _mode_of(path: Path) -> int | None:
    """The mode of what is there, of a link its own; None when nothing is."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def move(git: Git, step: Move, checkouts: Sequence[Path], journal: Journal, *, run: str, gen: int) -> None:
    """Land ``step``. Raises BaseMoved when base is no longer ``step.old``, Refused when a checkout or another ref is in
    the way; then nothing has moved."""
    try_checkouts(checkouts, step.old, step.new)
    facts: dict[str, Any] = {
        "base": step.base,
        "old": step.old,
        "new": step.new,
        "builds": dict(step.builds),
        "as": dict(step.landed_as),
        "what": step.what,
    }
    journal.append("landing.intent", run=run, gen=gen, checkout=[str(p) for p in checkouts], **facts)
    head = f"refs/heads/{step.base}"
    reason = f"br3 {step.what}: {', '.join(step.builds) or step.new[:12]}"
    if not refs.move_together(git, [(head, step.new, step.old), *step.also], reason):
        stays = refs.resolve(git, head) == step.old
        said = "another ref is in the way" if stays else "base moved meanwhile"
        journal.append("landing.abandoned", "warning", run=run, gen=gen, reason=said, **facts)
        if not stays:
            raise BaseMoved
        names = ", ".join(ref for ref, _, _ in step.also)
        raise Refused(f"nothing was moved: {names} changed meanwhile", hint="the same command again")
    journal.append("landing.moved", run=run, gen=gen, **facts)
    for path in checkouts:
        _follow(path, step.old, step.new)
    journal.append("landing.completed", run=run, gen=gen, base=step.base, new=step.new)


def cut_off(events: Sequence[Event], base: str) -> Event | None:
    """The intent of a landing on ``base`` that was neither completed nor abandoned, or None."""
    intents = [e for e in events if e.kind == "landing.intent" and e.data.get("base") == base]
    last = max(intents, key=lambda e: e.order, default=None)
    if last is None:
        return None
    ends = [e for e in events if e.kind in ("landing.completed", "landing.abandoned") and e.order > last.order]
    return None if any(e.data.get("new") == last.data["new"] for e in ends) else last


def recover(repository: Repository, base: str, events: Sequence[Event], journal: Journal, *, gen: int) -> list[str]:
    """Finish a landing on ``base`` that was cut off; returns the builds that it landed. The base's lock is held."""
    last = cut_off(events, base)
    if last is None:
        return []
    git = repository.git
    old, new = CommitId(last.data["old"]), CommitId(last.data["new"])
    now = refs.resolve(git, f"refs/heads/{base}")
    done = _has_moved(git, last, now)
    if done and now is not None and now != new and not _takes_back(git, last):
        _refuse_reverted(git, base, old, new, now)
    facts = {key: value for key, value in last.data.items() if key != "checkout"}
    if done and not any(e.kind == "landing.moved" and e.order > last.order for e in events):
        journal.append("landing.moved", run=last.run, gen=gen, **facts)
    if now != new:
        # Either it never moved, or somebody has gone on from it: the checkout is theirs.
        kind = "landing.completed" if done else "landing.abandoned"
        reason = "found landed" if done else "interrupted before base moved"
        journal.append(kind, run=last.run, gen=gen, base=base, new=new, reason=reason)
        return list(last.data["builds"]) if done else []
    for path in checkouts_of(repository, base):
        _add_what_arrived(path, old, new)
        _refuse_ignored(Git(path), path, old, new)
        _follow(path, old, new)
    journal.append("landing.completed", run=last.run, gen=gen, base=base, new=new, reason="finished after a crash")
    return list(last.data["builds"])


def _has_moved(git: Git, intent: Event, now: CommitId | None) -> bool:
    """Whether base, which is at ``now``, has been where it was to go."""
    if now is None or now == intent.data["old"]:
        return False
    if _takes_back(git, intent):  # where it went has been below it all the time
        return not refs.is_ancestor(git, intent.data["old"], now)
    return refs.is_ancestor(git, intent.data["new"], now)


def _takes_back(git: Git, intent: Event) -> bool:
    """Whether base was to go back: to what is below where it was."""
    return refs.is_ancestor(git, intent.data["new"], intent.data["old"])


def _refuse_reverted(git: Git, base: str, old: CommitId, new: CommitId, now: CommitId) -> None:
    """Refused when a commit that was made from the stale index after a cut-off landing has taken it back."""
    changed = set(_changed(git, old, new))
    taken_back = sorted(changed - set(_changed(git, old, now)))
    if taken_back:
        files = ", ".join(taken_back[:8])
        raise Refused(
            f"a landing on {base} was cut off, and a commit made there since has taken its changes back: {files}",
            hint=f"bring them back: git checkout {new[:12]} -- {shlex.join(taken_back[:8])} && git commit; then again",
        )


def _follow(path: Path, old: CommitId, new: CommitId) -> None:
    git = Git(path)
    git("update-index", "-q", "--refresh", ok=(0, 1))
    try:
        git("read-tree", "-m", "-u", old, new)
    except GitError as error:
        raise Br3Error(
            f"base has landed, but its checkout {path} could not follow: {error.stderr.strip()}",
            hint=f"save what is yours there, then: git -C {shlex.quote(str(path))} read-tree -m -u {old} {new}",
        ) from error


def _add_what_arrived(path: Path, old: CommitId, new: CommitId) -> None:
    """Put into the index what a cut-off read has already written: files that equal ``new``."""
    git = Git(path)
    changed = _changed(git, old, new)
    with tempfile.TemporaryDirectory(prefix="br3-index-") as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git("read-tree", new, env=env)
        git("update-index", "-q", "--refresh", env=env, ok=(0, 1))
        differing = set(git("diff-files", "-z", "--name-only", env=env).fields)
    arrived = [p for p in changed if p not in differing and os.path.lexists(path / p)]
    if arrived:
        git("update-index", "--add", "-z", "--stdin", input=b"\0".join(map(os.fsencode, arrived)) + b"\0")


def _changed(git: Git, old: CommitId, new: CommitId) -> list[str]:
    return git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).fields


def _below(path: str, changed: set[str]) -> bool:
    """Whether an untracked file stands where a directory would, or the other way round."""
    return any(c.startswith(f"{path}/") or path.startswith(f"{c}/") for c in changed)
