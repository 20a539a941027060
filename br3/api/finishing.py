"""What comes after landing: the release, cleaning up, the checklist; and all of it in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.api.consent import Consent, require_identity, require_trust, require_trust_to_end
from br3.api.landing import Boarding, Watcher, go
from br3.api.listening import Following, OnEvent, interruptible
from br3.api.workspaces import Workspace, pick, plan_changed
from br3.errors import UsageError

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.landing.requests import Requested
    from br3.landing.training import Train
    from br3.plan.model import Build
    from br3.release.checklist import Checked
    from br3.release.cleaning import Cleaned
    from br3.release.making import Released
    from br3.release.naming import Wish


@dataclass
class Finished:
    """How far it came. ``stopped``: None, ``aside`` (builds were put aside) or ``requested`` (requests have to be
    merged first); nothing is tagged or removed then. ``given_up``: of the builds that were put aside those whose
    worktree and branch a clean-up has removed. ``checks``: ``name``, ``met`` (True, False, None: cannot be told),
    ``seen``.
    """

    landed: Train | Requested
    released: Released | None = None
    cleaned: Cleaned | None = None
    checks: list[Checked] = field(default_factory=list)
    stopped: str | None = None
    given_up: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """That of ``br3 finish``: 1 when something is aside or not met, 3 when something was kept."""
        if self.stopped == "requested":
            return 1 if getattr(self.landed, "failed", False) else 0
        if self.stopped is not None:
            return 1
        if self.cleaned is not None and self.cleaned.kept:
            return 3
        return 1 if any(check.met is False for check in self.checks) else 0

    def as_json(self) -> dict[str, Any]:
        """The object of ``br3 finish --json``."""
        told: dict[str, Any] = {"merge": self.landed.as_json()}
        if self.released is not None:
            told["release"] = self.released.as_json()
        if self.cleaned is not None:
            told["clean"] = cleaned_json(self.cleaned)
            told["criteria"] = [{"name": c.name, "met": c.met, "seen": c.seen} for c in self.checks]
        return told


Part = Callable[["Train | Requested | Released | Cleaned | Checked"], None]
"""Told of each part when it is done."""


def finish(
    workspace: Workspace,
    builds: Sequence[str],
    *,
    push: bool | None,
    consent: Consent,
    on_event: OnEvent | None = None,
    ask: Callable[[str], bool] | None = None,
) -> Finished:
    """See ``Workspace.finish``."""
    with interruptible():
        session, wanted = ready(workspace, builds, push, consent)
        following = Following(session.common_dir, session.run, on_event)
        done = conclude(session, wanted, push, following, lambda _: following.look(), ask)
        following.look()
        return done


def ready(
    workspace: Workspace, builds: Sequence[str], push: bool | None, consent: Consent
) -> tuple[Session, list[Build]]:
    """The run to finish and its builds, with everything settled that has to be before. UsageError, Refused."""
    from br3.release.making import check
    from br3.release.naming import Wish

    require_identity(workspace.repository)
    session = workspace.session()
    require_trust_to_end(session, consent)
    session.site()
    wanted = pick(session, builds)
    release = session.plan.release
    if release.named:
        check(session, Wish(push=push))
    elif release.push if push is None else push:
        raise UsageError(
            "the plan names no release, so there is nothing that could be pushed; nothing was landed",
            hint=f"{_naming(session)}; or br3 finish --no-push, then: git push {release.remote} {session.plan.base}",
        )
    return session, wanted


def conclude(
    session: Session,
    wanted: list[Build],
    push: bool | None,
    watcher: Watcher,
    part: Part,
    ask: Callable[[str], bool] | None,
) -> Finished:
    """Land, release, clean up and check; stops where builds are aside or requests have to be merged."""
    from br3.dispatch.standing import was_removed
    from br3.landing.requests import Requested
    from br3.landing.training import Options
    from br3.release import checklist, cleaning, making
    from br3.release.naming import Wish
    from br3.repo import refs

    plan = session.plan
    landed = go(Boarding(session, wanted, plan.lands_by == "pr"), watcher, Options())
    done = Finished(landed)
    part(landed)
    if isinstance(landed, Requested) and landed.requests:
        done.stopped = "requested"
    elif landed.aside:
        done.stopped = "aside"
        there = refs.branches(session.repository.git, [build.branch for build in plan.builds])
        gone = {build.id for build in plan.builds if build.branch not in there}
        done.given_up = [aside.id for aside in landed.aside if aside.id in gone and was_removed(session, aside.id)]
    if done.stopped is not None:
        return done
    if plan.release.named:
        done.released = making.release(session, Wish(push=push), watcher.step)
        part(done.released)
    session.refresh()
    done.cleaned = cleaning.clean(session, wanted)
    part(done.cleaned)
    session.refresh()
    seen = checklist.run_commands(session, watcher.step)
    for check in checklist.conclude(session, seen, ask):
        done.checks.append(check)
        part(check)
    return done


def _naming(session: Session) -> str:
    """What to do where the plan, as it was frozen, names no release."""
    if plan_changed(session) and session.file is not None:
        name = Path(session.file["path"]).name
        return (
            f"{name} has changed since run {session.run} was frozen: br3 run takes it up, and starts no build that "
            "has landed; then the same command"
        )
    return '[release] bump = "auto" in br3.toml, which br3 run takes up; then the same command'


def release(
    workspace: Workspace, wish: Wish, consent: Consent, *, dry_run: bool, on_event: OnEvent | None = None
) -> Released:
    """See ``Workspace.release``."""
    from br3.release import making

    with interruptible():
        session = release_ready(workspace, wish, consent, dry_run=dry_run)
        if dry_run:
            return making.rehearse(session, wish)
        following = Following(session.common_dir, session.run, on_event)
        made = making.release(session, wish, following.step)
        following.look()
        return made


def release_ready(workspace: Workspace, wish: Wish, consent: Consent, *, dry_run: bool) -> Session:
    """The run that is released, with everything settled that has to be before. UsageError, Refused."""
    if wish.version and wish.bump:
        raise UsageError("--version says which version, --bump asks for one: give one of them")
    if not dry_run:
        require_identity(workspace.repository)
    session = workspace.session()
    if not session.plan.release.named and not (wish.tag or wish.version or wish.bump):
        raise UsageError("the plan names no release", hint=f"{_naming(session)}; or: br3 release --bump auto")
    if not dry_run and session.plan.release.changes_files:
        require_trust(session.common_dir, session.plan, consent)
        session.site()
    return session


def clean(workspace: Workspace, builds: Sequence[str], *, force: bool) -> Cleaned:
    """See ``Workspace.clean``."""
    from br3.dispatch.sessions import departed, other_plans
    from br3.release.cleaning import clean as remove

    if force and not builds:
        raise UsageError("--force needs the names of the builds whose work may go", hint="br3 clean --force BUILD")
    session = workspace.session()
    session.site()
    gone = departed(session)  # from the plan, but not from the disk
    known = {build.id.casefold() for build in gone}
    named = {name.casefold() for name in builds}
    wanted = pick(session, [b for b in builds if b.casefold() not in known]) if not builds or named - known else []
    others = other_plans(session) if gone and not builds else {}
    wanted += [b for b in gone if (b.id.casefold() in named if builds else b.id not in others)]
    return remove(session, wanted, force=force)


def cleaned_json(cleaned: Cleaned) -> dict[str, Any]:
    """The shape of ``clean --json``."""
    return {
        "removed": cleaned.removed,
        "kept": cleaned.kept,
        "given_up": cleaned.given_up,
        "ignored": cleaned.ignored,
        "left": cleaned.left,
    }
