"""Clean-up: worktrees and branches whose work is on base. What would be lost is named and stays.

    under the build's lock: look → rename the worktree aside → drop its registry entry → delete the branch → say so

The branch goes last, in one transaction that also holds base to where it was when it was proven to contain the branch;
a clean-up that was killed is finished by the next one. What was renamed is deleted in the background.
Git processes: 3 in all, and for each build 8, a few more where its branch was squashed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error
from br3.plan.model import Build
from br3.repo import refs, worktrees
from br3.repo.containing import contained_in, delete_contained
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.worktrees import Worktree
from br3.telemetry import Lock, LockHeld
from br3.wording import listed
from br3.workspace import children, ignored, losses, ports
from br3.workspace.copying import matching
from br3.workspace.notes import read_notes
from br3.workspace.occupants import Occupant, is_in, occupants


@dataclass
class Cleaned:
    """What was removed, what was not and why, and what ``--force`` gave up (branch → commit)."""

    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Per build, why it would have been kept without ``--force``."""
    ignored: dict[str, list[str]] = field(default_factory=dict)
    """Per build that was removed, ignored files that went with it, but environments and caches."""
    left: dict[str, str] = field(default_factory=dict)
    """Per build whose worktree was on another branch than its own, that branch, which stays, and what only it has."""
    forcible: set[str] = field(default_factory=set)
    """The builds of ``kept`` that ``--force`` would remove."""


class _Kept(Exception):
    """A build cannot be removed, by force neither."""


def clean(session: Session, builds: Sequence[Build], *, force: bool = False) -> Cleaned:
    """Remove the worktrees of ``builds`` and their branches where nothing is lost by that.

    ``force`` also removes what has not landed; the commits stay in the object store for git's usual grace period.
    """
    cleaned = Cleaned()
    # One at a time: who comes second finds what the first has left to do, not builds that seem to be worked on.
    with Lock(session.common_dir, "clean", "all").acquire(wait_s=60):
        session.refresh()
        made = _made(session)
        busy = occupants([path for build in builds if (path := session.worktrees[build.id]).is_dir()])
        for build in builds:
            try:
                # Under the lock first, then looking: nobody works on the build between the look and the removal.
                with Lock(session.common_dir, "build", build.id).acquire() as lock:
                    children.end_marked(children.mark_of(session.common_dir, build.id))  # their orchestrator died
                    standing = standings(session, [build])[0]
                    if standing.present or standing.branch_exists:
                        _clean_one(session, standing, cleaned, busy, force=force, gen=lock.gen)
                    elif build.id in made:
                        _say_removed(session, standing, lock.gen, None)  # it was killed before it could
            except LockHeld:
                cleaned.kept[build.id] = "it is still being worked on"
            except _Kept as kept:
                cleaned.kept[build.id] = str(kept)
            except Br3Error as error:
                cleaned.kept[build.id] = error.message + (f"; {error.hint}" if error.hint else "")
        _tidy(session)
    return cleaned


def _made(session: Session) -> set[str]:
    """The builds whose worktree was made, and by what the journal says not removed."""
    made: set[str] = set()
    for event in sorted((e for e in session.events if e.build), key=lambda e: e.order):
        if event.kind == "worktree.created":
            made.add(str(event.build))
        elif event.kind == "worktree.removed":
            made.discard(str(event.build))
    return made


def _clean_one(
    session: Session,
    standing: Standing,
    cleaned: Cleaned,
    busy: dict[Path, list[Occupant]],
    *,
    force: bool,
    gen: int,
) -> None:
    listed = worktrees.list_worktrees(session.repository.git)
    registered = next((w for w in listed if worktrees.same_path(w.path, standing.worktree)), None)
    _refuse_barred(standing, registered, listed)
    at_risk = _ignored(session, standing, registered)
    how = _contained(session, standing)
    here = [o for o in busy.get(standing.worktree, []) if is_in(o.pid, standing.worktree)]
    lost = [*_losses(session, standing, registered, landed=how is not None), *_shown(at_risk.lost, "ignored files")]
    if here:
        names = ", ".join(session.journal.redact(str(occupant)) for occupant in here[: losses.MOST_SHOWN])
        lost.append(f"processes still run in {standing.worktree}: {names}{losses.more(here)}")
    reason = "; ".join(lost)
    if reason and not force:
        cleaned.kept[standing.id] = reason
        cleaned.forcible.add(standing.id)
        return
    salvaged = _remove(session, standing, registered, how, gen)
    cleaned.removed.append(standing.id)
    if registered and registered.branch not in (None, standing.build.branch, session.plan.base):
        cleaned.left[standing.id] = _left(session, str(registered.branch))
    cleaned.given_up |= salvaged
    if at_risk.going:
        cleaned.ignored[standing.id] = list(at_risk.going)
    if reason:
        cleaned.lost[standing.id] = reason
    if how is None and standing.tip:
        cleaned.given_up[standing.build.branch] = standing.tip


def _left(session: Session, branch: str) -> str:
    git, base = session.repository.git, f"refs/heads/{session.plan.base}"
    tip = refs.resolve(git, f"refs/heads/{branch}")
    if tip is None or refs.is_ancestor(git, tip, base):
        return branch
    return f"{branch}, with {losses.commits(git, base, branch, tip)}"


def _contained(session: Session, standing: Standing) -> str | None:
    """How base contains the build's branch; ``nothing`` when there is nothing of its own to contain."""
    if standing.tip is None or standing.tip == standing.start:
        return "nothing"
    base = refs.resolve(session.repository.git, f"refs/heads/{session.plan.base}")
    found = contained_in(session.repository.git, base, standing.tip) if base else None
    return found.how if found else None


def _refuse_barred(standing: Standing, registered: Worktree | None, listed: Sequence[Worktree]) -> None:
    """_Kept for what even ``--force`` leaves alone."""
    for other in listed:
        if standing.build.branch in (other.branch, other.held) and other is not registered:
            raise _Kept(f"its branch {standing.build.branch} is {losses.use_of(other)}")
    reason = losses.barred(standing.worktree, registered)
    if reason:
        raise _Kept(reason)


def _losses(session: Session, standing: Standing, registered: Worktree | None, *, landed: bool) -> Iterator[str]:
    """What would be lost, by name."""
    if standing.present:
        yield from losses.in_worktree(standing.worktree, registered, standing.dirty)
    elif registered is not None:
        yield from losses.with_entry(session.repository.git, registered)
    if not landed and standing.tip:
        base = f"refs/heads/{session.plan.base}"
        yield losses.commits(session.repository.git, base, standing.build.branch, standing.tip)


def _ignored(session: Session, standing: Standing, registered: Worktree | None) -> ignored.AtRisk:
    path = standing.worktree
    if not standing.present or registered is None or worktrees.git_dir(path) is None or losses.is_half_made(registered):
        return ignored.AtRisk((), ())
    notes = read_notes(path)
    copied = matching(session.plan.setup.copy, session.source) if session.source else []
    copied += notes.get("brought") or []
    return ignored.at_risk(path, session.source, copied, notes.get("ignored") or {})


def _remove(
    session: Session, standing: Standing, registered: Worktree | None, how: str | None, gen: int
) -> dict[str, str]:
    """Remove it, and return what was salvaged of its cut-off attempts, which goes too (ref → commit)."""
    git, path, build = session.repository.git, standing.worktree, standing.id
    if registered is not None:
        if registered.adding:
            git("worktree", "unlock", str(registered.path), ok=(0, 128))
        worktrees.remove(git, registered.path)
    elif standing.present and not worktrees.remove_unregistered(git, path):
        raise _Kept(f"{path} is no worktree of this repository: what is in it is yours to remove")
    ports.free(session.common_dir, path)
    shutil.rmtree(session.repository.br3_dir / "agents" / build, ignore_errors=True)  # their conversations
    listing = git("for-each-ref", "--format=%(refname) %(objectname)", f"refs/br3/salvage/{build}/").lines
    salvaged = {ref: CommitId(commit) for ref, commit in (line.split(" ") for line in listing)}
    _delete_branch(session, standing, salvaged, how)
    _say_removed(session, standing, gen, how)
    return dict(salvaged)


def _delete_branch(session: Session, standing: Standing, salvaged: dict[str, CommitId], how: str | None) -> None:
    gone = [(ref, NULL_ID, commit) for ref, commit in salvaged.items()]
    if standing.tip:
        gone.append((f"refs/heads/{standing.build.branch}", NULL_ID, standing.tip))
    proven = standing.tip if how not in (None, "nothing") else None
    base = session.plan.base
    if not delete_contained(session.repository.git, base, gone, proven, "br3 clean"):
        raise _Kept(f"its worktree is removed; {standing.build.branch} or {base} moved meanwhile, and stays")


def _say_removed(session: Session, standing: Standing, gen: int, how: str | None) -> None:
    session.journal.append(
        "worktree.removed",
        run=session.run,
        build=standing.id,
        gen=gen,
        path=str(standing.worktree),
        branch=standing.build.branch,
        commit=standing.commit,
        contained=how,
    )


def _tidy(session: Session) -> None:
    """Empty directories that held worktrees, and what was removed, now or by one that was killed."""
    for directory in {path.parent for path in session.worktrees.values()}:
        if directory.is_dir():
            worktrees.empty_trash(directory)
            try:
                directory.rmdir()
            except OSError:
                pass


def _shown(paths: Sequence[str], what: str) -> list[str]:
    return [f"{what}: {listed(paths)}"] if paths else []
