"""Removing worktrees that are no builds', and their branches: what would be lost is named and stays, as for builds.

    under the worktree's lock: look → rename aside → drop its registry entry → delete the branch → say so

Builds' worktrees are handed to the clean-up of builds. Git processes for one: 8 when its commits are an ancestor of
base, a few more where they were squashed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from br3.errors import Br3Error, Refused
from br3.everyday.seeing import Row, Seen
from br3.repo import worktrees
from br3.repo.containing import contained_in, delete_contained
from br3.repo.refs import NULL_ID
from br3.repo.runner import Git, GitError
from br3.repo.snapshots import file_digest
from br3.telemetry import Journal, Lock
from br3.wording import listed
from br3.workspace import children, ignored, losses, ports
from br3.workspace.notes import name_of, read_notes
from br3.workspace.occupants import is_in, occupants


@dataclass(frozen=True)
class Look:
    """What removing a worktree would do. ``barred``: force does not help; ``losses``: what would be lost, in words.

    ``contained`` says how base has the branch's commits (``ancestor``, ``merged``, …); ``begun`` whether there are any
    of its own; ``deletes`` whether the branch goes with the worktree; ``going``: ignored files that go;
    ``needed``: where else the branch is in use.
    """

    row: Row
    barred: str | None = None
    losses: tuple[str, ...] = ()
    contained: str | None = None
    begun: bool = False
    deletes: bool = False
    going: tuple[str, ...] = ()
    needed: str | None = None


@dataclass
class Removed:
    """What went: names, and for what was given up by force how to have it back (branch → commit)."""

    removed: list[str] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    going: dict[str, list[str]] = field(default_factory=dict)
    kept_branches: dict[str, str] = field(default_factory=dict)


def look(seen: Seen, row: Row, *, keep_branch: bool = False, spare: Collection[int] = ()) -> Look:
    """What removing the worktree would do; ``spare`` are processes that may run in it."""
    barred = _barred(seen, row)
    if barred:
        return Look(row, barred=barred)
    git = seen.repository.git
    found: list[str] = []
    going: tuple[str, ...] = ()
    half_made = losses.is_half_made(row.registered)
    if os.path.isdir(row.path):
        if row.state != "broken" and not half_made:
            try:
                dirty, hidden = _uncommitted(seen, row)
            except GitError as error:
                said = error.stderr.strip().splitlines() or ["?"]
                dirty, hidden = [f"(git cannot tell: {said[0]})"], []
            at_risk = _ignored(seen, row, hidden)
            going = at_risk.going
            found += losses.in_worktree(row.path, row.registered, dirty)
            found += [f"ignored files: {listed(at_risk.lost)}"] if at_risk.lost else []
        elif row.state == "broken":
            found += losses.in_worktree(row.path, row.registered, ())
        here = [o for o in occupants([row.path]).get(row.path, []) if o.pid not in spare and is_in(o.pid, row.path)]
        if here:
            names = ", ".join(str(occupant) for occupant in here[: losses.MOST_SHOWN])
            found.append(f"processes still run in {row.path}: {names}{losses.more(here)}")
    else:
        found += losses.with_entry(git, row.registered)
    contained, begun = _contained(seen, row)
    own = row.branch is not None and row.head is not None and not keep_branch and row.branch != seen.base
    needed = _needed_elsewhere(seen, row) if own else None
    deletes = own and needed is None
    if deletes and contained is None and row.branch and row.head:
        if seen.base:
            found.append(losses.commits(git, f"refs/heads/{seen.base}", row.branch, row.head))
        else:
            found.append(f"commits on {row.branch}: there is no base branch that could have them")
    return Look(row, None, tuple(found), contained, begun, deletes, going, needed)


def remove(seen: Seen, row: Row, *, force: bool, keep_branch: bool, spare: Collection[int] = ()) -> Removed:
    """Remove the worktree and, where base contains it, its branch. Refused when something would be lost.

    ``force`` gives that up; the commits stay in the object store for git's usual grace period.
    """
    common_dir, git = seen.repository.common_dir, seen.repository.git
    name = row.name
    done = Removed()
    with Lock(common_dir, "worktree", name_of(row.path)).acquire():  # nobody sets it up at this moment
        found = look(seen, row, keep_branch=keep_branch, spare=spare)
        if found.barred:
            raise Refused(f"{name} stays: {found.barred}")
        if found.losses and not force:
            raise Refused(f"{name} stays: {'; '.join(found.losses)}", hint=_way_out(found))
        if found.losses:
            done.lost[name] = "; ".join(found.losses)
        children.end_marked(children.mark_of(common_dir, f"worktree {row.path}"))
        _take_away(git, row)
        ports.free(common_dir, row.path)
        shutil.rmtree(seen.repository.br3_dir / "worktrees" / name_of(row.path), ignore_errors=True)
        if found.deletes and row.branch and row.head:
            proven = row.head if found.contained else None
            gone = [(f"refs/heads/{row.branch}", NULL_ID, row.head)]
            if not delete_contained(git, seen.base or "", gone, proven, "br3 worktree remove"):
                done.kept_branches[row.branch] = f"it or {seen.base} has moved meanwhile"
            else:
                if row.upstream:
                    worktrees.unfollow(git, row.branch)
                if not found.contained:
                    done.given_up[row.branch] = row.head
        elif found.needed and row.branch:
            done.kept_branches[row.branch] = f"it is {found.needed}"
        Journal(common_dir).append(
            "worktree.removed", path=str(row.path), branch=row.branch, commit=row.head, contained=found.contained
        )
    done.removed.append(name)
    if found.going:
        done.going[name] = list(found.going)
    _tidy(row.path.parent)
    return done


def prunable(seen: Seen) -> tuple[list[Look], dict[str, str]]:
    """Worktrees whose work base has, or whose directory is gone: what prune removes; and of the others why not.

    One that has no commits of its own yet is kept: somebody has just made it.
    """
    going: list[Look] = []
    kept: dict[str, str] = {}
    for row in seen.rows[1:] if seen.rows and seen.rows[0].main else seen.rows:
        if row.state == "throw-away" or row.build:
            continue
        if row.branch == seen.base and row.state != "missing":
            continue
        if row.current:
            kept[row.name] = "you are in it"
            continue
        try:
            found = look(seen, row, keep_branch=row.state == "missing")
        except Br3Error as error:
            kept[row.name] = error.message
            continue
        if found.barred or found.losses:
            kept[row.name] = found.barred or "; ".join(found.losses)
        elif row.state == "missing":
            going.append(found)
        elif not found.begun:
            kept[row.name] = "nothing was committed on it yet"
        elif not found.contained:
            kept[row.name] = f"its commit is on no branch of its own and not in {seen.base}"
        else:
            going.append(found)
    return going, kept


def _barred(seen: Seen, row: Row) -> str | None:
    if row.main:
        return f"{row.path} is the main worktree, or the repository itself"
    if row.state == "throw-away":
        return f"{row.path} is br3's own, of a landing; br3 merge removes it"
    return losses.barred(row.path, row.registered)


def _contained(seen: Seen, row: Row) -> tuple[str | None, bool]:
    """How base has the commits of the branch, and whether it ever had one of its own."""
    git = seen.repository.git
    if row.head is None:
        return "nothing", False
    if seen.base_commit is None or row.branch == seen.base:
        return ("nothing" if row.branch == seen.base else None), False
    found = contained_in(git, seen.base_commit, row.head)
    if found is None:
        return None, True
    return found.how, found.how != "ancestor" or _was_worked_on(git, row)


def _needed_elsewhere(seen: Seen, row: Row) -> str | None:
    """How another worktree has the branch, as far as one has."""
    if not any(row.branch in (other.branch, other.registered.held) for other in seen.rows if other is not row):
        return None
    listed = worktrees.list_worktrees(seen.repository.git)  # as it is now: another may have been removed just before
    others = [w for w in listed if row.branch in (w.branch, w.held) and not worktrees.same_path(w.path, row.path)]
    return losses.use_of(others[0]) if others else None


def _was_worked_on(git: Git, row: Row) -> bool:
    """Whether the tip is not just what the branch began with: by what was noted, else by its log."""
    if row.start is not None:
        return row.head != row.start
    if row.branch is None:
        return False
    log = git("log", "--walk-reflogs", "--max-count=2", "--format=%H", f"refs/heads/{row.branch}", "--", ok=(0, 128))
    return len(set(log.text.split())) > 1


def _uncommitted(seen: Seen, row: Row) -> tuple[list[str], list[str]]:
    """Its uncommitted paths that are somebody's work, and the ignored ones."""
    excludes = seen.repository.br3_dir / "excludes"
    notes = read_notes(row.path)
    left = notes.get("left") or {}
    # What set-up drops is nobody's work, where it was br3 that set it up.
    ours = excludes if notes.get("ready") and excludes.exists() else None
    found, hidden = ignored.uncommitted_and_listed(row.path, ours)
    return [path for path in found if left.get(path) is None or file_digest(row.path / path) != left[path]], hidden


def _ignored(seen: Seen, row: Row, names: Sequence[str]) -> ignored.AtRisk:
    notes = read_notes(row.path)
    repository = seen.repository
    source = repository.top if repository.top != repository.common_dir else None
    return ignored.at_risk(row.path, source, notes.get("brought") or (), notes.get("ignored") or {}, names)


def _take_away(git: Git, row: Row) -> None:
    if row.registered.adding:
        git("worktree", "unlock", str(row.path), ok=(0, 128))
    if row.state == "broken" and worktrees.remove_unregistered(git, row.path):
        return
    worktrees.remove(git, row.path)


def _way_out(found: Look) -> str:
    name = quote(found.row.name)
    unlanded = [loss for loss in found.losses if "not landed" in loss]
    if unlanded and len(unlanded) == len(found.losses):
        return f"land it, or: br3 worktree remove --keep-branch {name}; --force gives the commits up"
    busy = [loss for loss in found.losses if loss.startswith("processes")]
    if busy and len(busy) == len(found.losses):
        return f"end them; or take it from under them: br3 worktree remove --force {name}"
    return f"save it; or give it up: br3 worktree remove --force {name}"


def _tidy(directory: Path) -> None:
    """What was removed, now or by one that was killed, and a directory that held worktrees and is empty."""
    if directory.is_dir():
        worktrees.empty_trash(directory)
        try:
            directory.rmdir()
        except OSError:
            pass


def tidy_all(rows: Sequence[Row]) -> None:
    """The same beside all these worktrees."""
    for directory in {row.path.parent for row in rows if not row.main}:
        _tidy(directory)
