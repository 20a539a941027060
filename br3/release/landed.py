"""The builds that a release is of: those whose landing base contains and the last release does not.

Git has the word: the trailers of landings in that range, and for what somebody merged by hand, its commits. What was
reverted since is not in it. Titles and tasks are those of the plan that the build was made by.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing
from br3.errors import Br3Error
from br3.orchestrator import verdicts
from br3.plan.frozen import thaw
from br3.plan.model import Build, Verify
from br3.release.conventional import Commit, reverted
from br3.repo import refs
from br3.repo.refs import CommitId


@dataclass(frozen=True)
class Landed:
    """A build of the release. ``message`` is that of its landing; None of ``tests`` and ``cost_usd``: not known."""

    id: str
    title: str
    tasks: tuple[tuple[str, str], ...]
    message: str
    tests: dict[str, int] | None
    cost_usd: Decimal | None
    models: tuple[str, ...]
    commit: CommitId | None
    """The commit that brought it, where the trailers tell."""


def landed_in(session: Session, commits: Sequence[Commit], standing: Sequence[Standing]) -> list[Landed]:
    """The builds that landed in a range of commits (newest first), in the order in which they did."""
    found: dict[str, Landed] = {}
    of_plan = {s.id: s for s in standing if s.landed}
    gone = reverted(commits)
    for commit in reversed(commits):
        for build in _trailer(commit.message, "Br3-Build") if commit.id not in gone else []:
            found.pop(build, None)  # what landed again counts as of then
            if build in of_plan:
                found[build] = _of_standing(of_plan[build], commit)
            else:
                found[build] = _of_trailers(session, build, commit)
    known = {commit.id for commit in commits}
    for build, stands in of_plan.items():
        if build not in found and stands.commit in known and stands.commit not in gone:
            found[build] = _of_standing(stands, None)
    return list(found.values())


def tests_of(session: Session, commit: str, whole: Verify) -> dict[str, int] | None:
    """What the last verification of all that is in a commit counted; None when there was none, or it did not count.

    That of a build alone is one of the whole when its commands are those of ``whole``.
    """
    tree = refs.tree_of(session.repository.git, commit)
    # Minima are asked of what landed beside its verdict, so that is without them.
    forms = (whole, dataclasses.replace(whole, min_passed=None, min_coverage=None))
    commands = {verdicts.key(tree, form, (), session.repository.home).commands for form in forms}
    passed = [e for e in session.events if e.kind == "quality.passed" and e.data.get("tree") == tree]
    mine = verdicts.in_order(e for e in passed if e.build is None or e.data.get("commands") in commands)
    return mine[-1].data.get("tests") if mine else None


def _of_standing(stands: Standing, commit: Commit | None) -> Landed:
    tasks = _tasks(stands.build)
    message = commit.message if commit else stands.build.message or ""
    own = commit.id if commit else None
    return Landed(
        stands.id, stands.build.title, tasks, message, stands.tests, stands.cost_usd, stands.models, commit=own
    )


def _of_trailers(session: Session, build: str, commit: Commit) -> Landed:
    """A build that the plan has no more: what its landing says of it, and the plan of then."""
    run = next(iter(_trailer(commit.message, "Br3-Run")), "")
    cost = next(iter(_trailer(commit.message, "Br3-Cost-Usd")), "unknown")
    models = next(iter(_trailer(commit.message, "Br3-Model")), "unknown")
    planned = _planned(session, run, build)
    view = session.runs[run].builds.get(build) if run in session.runs else None
    return Landed(
        build,
        planned.title if planned else commit.message.split("\n")[0],
        _tasks(planned) if planned else (),
        commit.message,
        view.quality.get("tests") if view and view.quality else None,
        _decimal(cost),
        () if models == "unknown" else tuple(models.split(", ")),
        commit=commit.id,
    )


def _planned(session: Session, run: str, build: str) -> Build | None:
    if run not in session.runs:
        return None
    try:
        return thaw(session.repository.br3_dir / "runs" / run).plan.build(build)
    except (Br3Error, KeyError):
        return None


def _tasks(build: Build) -> tuple[tuple[str, str], ...]:
    """Its tasks by id and title; none when there is only one, which is the build itself."""
    return tuple((task.id, task.title) for task in build.tasks) if len(build.tasks) > 1 else ()


def _trailer(message: str, name: str) -> list[str]:
    last = message.rstrip("\n").rpartition("\n\n")[2]
    return re.findall(rf"^{re.escape(name)}: *(.*?) *$", last, re.MULTILINE)


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
