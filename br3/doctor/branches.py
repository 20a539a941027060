"""Branches of builds that somebody moved, left or deleted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from br3.analytics.inspecting import Finding
from br3.dispatch.sessions import Session
from br3.dispatch.standing import was_removed
from br3.doctor.patient import Patient
from br3.orchestrator import ground
from br3.plan.model import Build
from br3.repo import refs


def branches(patient: Patient) -> Iterator[Finding]:
    """Of the newest run's builds: each must have what its completed tasks committed, and be on its own branch."""
    session = patient.session
    if session is None:
        return
    git, before = session.repository.git, 0
    tips = refs.branches(git, [build.branch for build in session.plan.builds])
    base = f"refs/heads/{session.plan.base}"
    if refs.resolve(git, base) is None:
        name = session.plan.base
        yield Finding("branches", False, f"the base {name} is gone", f"git branch {quote(name)} {session.base_commit}")
        return
    on = {tree.path.resolve(): tree for tree in patient.linked}
    for build in session.plan.builds:
        place = session.worktrees[build.id]
        tree = on.get(place.resolve())
        if tree is not None and place.is_dir() and tree.branch != build.branch and not tree.adding:
            is_on = tree.branch or "no branch (detached HEAD)"
            way = f"git -C {quote(str(place))} switch {quote(build.branch)}"
            yield Finding("branches", False, f"{build.id}: its worktree is on {is_on}, not on {build.branch}", way)
            before += 1
        done = _last_done(session, build)
        if done is None:
            continue
        task, commit = done
        if build.branch in tips:
            moved = ground.was_moved(git, build.branch, commit) and not refs.is_ancestor(git, commit, base)
            if moved and ground.rewritten(git, build.branch, commit) is None:
                by_ref = f"git branch -f {quote(build.branch)} {commit}"
                back = ground.way_back(place, commit) if place.is_dir() else by_ref
                said = f"{build.branch} was moved: it no longer has {commit[:12]}, which completed task {task}"
                yield Finding("branches", False, f"{build.id}: {said}", back)
                before += 1
        elif (
            refs.resolve(git, commit) and not refs.is_ancestor(git, commit, base) and not was_removed(session, build.id)
        ):
            said = f"{build.branch} is gone, and {commit[:12]}, which completed task {task}, has not landed"
            yield Finding("branches", False, f"{build.id}: {said}", f"git branch {quote(build.branch)} {commit}")
            before += 1
    if not before:
        yield Finding("branches", True, f"each of {len(tips)} is where br3 left it" if tips else "no build has one")


def _last_done(session: Session, build: Build) -> tuple[str, str] | None:
    """The last task that was completed and its commit, of the newest run in which one was."""
    for run in session.chain:
        view = run.builds.get(build.id)
        done = [task for task in view.tasks.values() if task.state == "completed" and task.commit] if view else []
        if done:
            return done[-1].id, str(done[-1].commit)
    return None
