"""A repository as a program works with it: its plan, its builds, its worktrees, and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from br3.errors import UsageError
from br3.repo.worktrees import Repository, discover

if TYPE_CHECKING:
    from br3.api.figures import Analytics
    from br3.api.finishing import Finished
    from br3.api.listening import OnEvent
    from br3.api.looking import Status
    from br3.api.running import Outcome
    from br3.api.verifying import Verified
    from br3.dispatch.attending import Past
    from br3.dispatch.controlling import Said, Target
    from br3.dispatch.sessions import Session
    from br3.everyday.seeing import Row
    from br3.plan.model import Build, Plan
    from br3.release.cleaning import Cleaned
    from br3.release.making import Released
    from br3.release.undoing import Undone
    from br3.workspace.preparing import Prepared
    from br3.workspace.trust import Command

Names = Sequence[str]
"""Ids of builds, without regard to case; one alone may be a plain string. None at all means every build."""


class Workspace:
    """The repository that a directory lies in; nothing is written by looking at it.

    ``path`` is any directory of it, ``plan`` a plan's file instead of the br3.toml found from ``path`` upwards.
    ``home`` is the directory of the main worktree. Raises UsageError outside a repository.
    """

    def __init__(self, path: str | Path = ".", *, plan: str | Path | None = None) -> None:
        self.path = Path(path).absolute()
        self.plan_file = Path(plan) if plan is not None else None
        if not self.path.is_dir():
            raise UsageError(f"there is no directory {path}")
        self.repository: Repository = discover(self.path)

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    @property
    def home(self) -> Path:
        """The directory that stands for the repository: that of its main worktree, or the bare repository's."""
        return self.repository.home

    # -- the plan

    def plan(
        self,
        *,
        jobs: int | str | None = None,
        agent: str | None = None,
        model: str | None = None,
        policy: str | None = None,
        retries: int | None = None,
        timeout: str | None = None,
        budget_usd: float | str | None = None,
    ) -> Plan:
        """The plan as it stands in its file, with these settings over it (those of ``br3 run``).

        Raises UsageError when there is no plan, its subclass PlanErrors with ``problems`` when it is wrong.
        """
        return self.load(
            jobs=jobs, agent=agent, model=model, policy=policy, retries=retries, timeout=timeout, budget_usd=budget_usd
        )[0]

    def load(self, **settings: object) -> tuple[Plan, Path]:
        """The same, and its file. A plan inside a build's worktree is never read: UsageError."""
        from br3.plan.loading import find, load
        from br3.repo.refs import accepts_branch
        from br3.workspace.notes import read_notes

        repository, here = self.repository, self.repository.worktree
        if here is not None and read_notes(here).get("build") and self.plan_file is None:
            raise UsageError(
                f"{here} is the worktree of a build; its br3.toml is never used",
                hint=f"cd {repository.home} and call br3 there, or name the file: --plan FILE",
            )
        path = self.plan_file or find(self.path)
        return load(path, settings, git_accepts_branch=lambda name: accepts_branch(repository.git, name)), path

    def commands(self) -> list[Command]:
        """The commands that the plan would run and that nobody has approved yet: ``purpose``, ``where``, ``text``."""
        from br3.workspace import trust

        return trust.missing(self.repository.common_dir, trust.commands_of(self.plan()))

    def trust(self) -> None:
        """Approve the plan's commands as they stand, as ``br3 trust`` does; a command that changes is open again."""
        from br3.api.consent import Consent, require_trust

        require_trust(self.repository.common_dir, self.plan(), Consent(trusted=True))

    # -- looking

    def status(self, run: str | None = None) -> Status | None:
        """Where the builds of a run stand, by the journal and by git; None when nothing has been run yet.

        ``run`` is the beginning of an id; without it it is the newest run, or that of the plan that was named.
        UsageError when none or several begin so.
        """
        from br3.api.looking import status_of
        from br3.dispatch.sessions import find
        from br3.dispatch.standing import standings

        session = find(self.repository, run) if run or self.plan_file is None else self._of_plan(self.plan_file)
        return None if session is None else status_of(session, standings(session))

    def runs(self) -> list[Past]:
        """All runs, the newest first, with state, builds, cost and tokens."""
        from br3.dispatch.attending import history

        return history(self.repository)

    def worktrees(self) -> list[Row]:
        """All worktrees, the main one first: path, branch, build, run, port."""
        from br3.everyday.seeing import see_all

        return list(see_all(self.repository).rows)

    def analytics(self) -> Analytics:
        """What was recorded, to be asked."""
        from br3.api.figures import Analytics

        return Analytics(self)

    # -- doing

    def up(
        self, builds: Names = (), *, fresh: bool = False, trust: bool = False, on_event: OnEvent | None = None
    ) -> list[Prepared]:
        """Make the builds' worktrees and environments, as ``br3 up`` does; what is there is left as it is.

        Raises the first build's error when some fail (the others are made all the same), Refused without approval.
        """
        from br3.api.consent import Consent
        from br3.api.preparing import prepare

        made = prepare(self, names(builds), fresh=fresh, consent=Consent(trust), on_event=on_event)
        for error in made.errors.values():
            raise error
        return made.prepared

    def attach(self, run: str | None = None, *, on_event: OnEvent | None = None) -> Outcome:
        """Follow a run that somebody else dispatches, to its end; the newest at work, or that of an id's beginning.

        Ctrl-C ends the following, not the run. Raises Br3Error when nobody is at work on it any more.
        """
        from br3.api.running import attach

        return attach(self, run, on_event)

    def pause(self, builds: Names = (), *, now: bool = False, run: str | None = None) -> list[Said]:
        """Let builds rest, or without names each run that is at work: after the attempt at hand, or with ``now`` where
        they are.

        A Said has ``build`` (None: the run), ``text`` (what will happen when) and ``new`` (it was not asked before).
        ``run`` is the beginning of a run's id. Raises UsageError, and Refused where there is nothing to pause.
        """
        from br3.dispatch import controlling

        return self._steer(lambda target: controlling.pause(target, now=now), builds, run)

    def resume(self, builds: Names = (), *, run: str | None = None) -> list[Said]:
        """Let what was paused go on; ``builds`` and ``run`` as in ``pause``."""
        from br3.dispatch import controlling

        return self._steer(controlling.resume, builds, run)

    def cancel(self, builds: Names = (), *, run: str | None = None) -> list[Said]:
        """End builds, or without names the newest run, whoever dispatches it; all work is kept. Refused when they have
        ended. ``run`` as in ``pause``."""
        from br3.dispatch import controlling
        from br3.dispatch.sessions import find, latest

        if names(builds):
            return self._steer(controlling.cancel_builds, builds, run)
        run = run or self._run_of_plan()
        return controlling.cancel_run(find(self.repository, run) or latest(self.repository))

    def retry(
        self, build: str, *, start: str | None = None, model: str | None = None, run: str | None = None
    ) -> list[Said]:
        """Let a build that has ended begin again, as ``br3 retry`` does: at the first task that is not done, or at
        ``start`` (its branch is set back to before that task, what comes off it is kept). Refused while it is at work.
        """
        from br3.dispatch import controlling

        return self._steer(lambda target: controlling.retry(target, start, model), build, run)

    def skip(self, build: str, task: str, *, run: str | None = None) -> list[Said]:
        """Leave a task of a build out. Refused when it is done already."""
        from br3.dispatch import controlling

        def leave_out(target: Target) -> list[Said]:
            return controlling.skip(target.session, *controlling.task_named(target.session, f"{build}/{task}"))

        return self._steer(leave_out, build, run)

    def tell(self, build: str, text: str, *, run: str | None = None) -> list[Said]:
        """Put a note into the prompt of a build's next attempt, once. Refused when no attempt would be told."""
        from br3.dispatch import controlling

        return self._steer(lambda target: controlling.tell(target.session, target.builds[0], text), build, run)

    def _steer(self, act: Callable[[Target], list[Said]], builds: Names, run: str | None) -> list[Said]:
        from br3.dispatch.controlling import targets

        meant = targets(self.repository, names(builds), run or self._run_of_plan())
        return [said for target in meant for said in act(target)]

    def _run_of_plan(self) -> str | None:
        """The newest run of the plan that was named; None when none was."""
        return self.session().run if self.plan_file is not None else None

    def verify(self, builds: Names = (), *, trust: bool = False, on_event: OnEvent | None = None) -> list[Verified]:
        """Run the builds' verifications; without names, of those that have work. Refused without approval."""
        from br3.api.consent import Consent
        from br3.api.verifying import verify

        return list(verify(self, names(builds), Consent(trust), on_event=on_event))

    def release(
        self,
        *,
        tag: str | None = None,
        version: str | None = None,
        bump: str | None = None,
        message: str | None = None,
        push: bool | None = None,
        remote: str | None = None,
        dry_run: bool = False,
        trust: bool = False,
        on_event: OnEvent | None = None,
    ) -> Released:
        """Tag what landed, as ``br3 release`` does; what is not given the plan says. Pushes only when asked.

        Raises UsageError, Refused, ReleaseFailed (a Br3Error) when the release's commit does not pass.
        """
        from br3.api.consent import Consent
        from br3.api.finishing import release
        from br3.release.naming import Wish

        wish = Wish(tag=tag, version=version, bump=bump, message=message, push=push, remote=remote)
        return release(self, wish, Consent(trust), dry_run=dry_run, on_event=on_event)

    def undo_release(self, tag: str | None = None) -> Undone:
        """Take the last release (or that of ``tag``) back. Refused when it is pushed or something was built on it."""
        from br3.release.undoing import undo

        return undo(self.session(), tag)

    def clean(self, builds: Names = (), *, force: bool = False) -> Cleaned:
        """Remove worktrees and branches whose work has landed; ``kept`` says what was not, and why.

        ``force`` removes unlanded work, too, and needs the builds' names: UsageError.
        """
        from br3.api.finishing import clean

        return clean(self, names(builds), force=force)

    def finish(
        self,
        builds: Names = (),
        *,
        push: bool | None = None,
        trust: bool = False,
        on_event: OnEvent | None = None,
        ask: Callable[[str], bool] | None = None,
    ) -> Finished:
        """Land, release, clean up, and go through the checklist, as ``br3 finish`` does.

        ``ask`` answers the criteria that are questions; without it they stay unknown.
        """
        from br3.api.consent import Consent
        from br3.api.finishing import finish

        return finish(self, names(builds), push=push, consent=Consent(trust), on_event=on_event, ask=ask)

    # -- for those who need more

    def session(self) -> Session:
        """The newest run, whose frozen plan counts; when there is none yet, one is made for the plan as it stands.

        Where a plan's file was named the newest run of that plan; UsageError when there is none.
        """
        from br3.dispatch.sessions import begin, find

        if self.plan_file is not None:
            session = self._of_plan(self.plan_file)
            if session is None and not self.plan_file.is_file():
                raise UsageError(f"there is no {self.plan_file}, and nothing has been run of it", hint="br3 runs")
            if session is None:
                hint = f"br3 run --plan {quote(str(self.plan_file))}"
                raise UsageError(f"nothing has been run of {self.plan_file} yet", hint=hint)
            return session
        session = find(self.repository)
        return session if session is not None else begin(self.repository, *self.load())

    def _of_plan(self, file: Path) -> Session | None:
        """The newest run of the plan in that file; what stands there now need not be right, nor be there at all."""
        from br3.dispatch.sessions import of_plan

        try:
            plan = self.plan()
        except UsageError:
            plan = None
        return of_plan(self.repository, file, plan)


def opened(workspace: Workspace | str | Path) -> Workspace:
    """What callers may give in the place of a workspace."""
    return workspace if isinstance(workspace, Workspace) else Workspace(workspace)


def names(builds: Names) -> tuple[str, ...]:
    """What callers may give as builds."""
    return (builds,) if isinstance(builds, str) else tuple(builds)


def plan_changed(session: Session) -> bool:
    """Whether the plan's file is not what the run was frozen from."""
    from br3.repo.snapshots import file_digest

    file = session.file
    return file is not None and file_digest(Path(file["path"])) not in (None, "absent", file["digest"])


def pick(session: Session, names: Sequence[str]) -> list[Build]:
    """The builds named, by the frozen plan; says so when br3.toml has meanwhile become another."""
    from br3.dispatch.sessions import chosen

    try:
        return chosen(session.plan, names)
    except UsageError as error:
        other = _elsewhere(session, names)
        if other is not None:
            raise UsageError(f"{error.message}; that is one of {other[0]}", hint=other[1]) from error
        if plan_changed(session):
            raise UsageError(
                f"{error.message}, as run {session.run} was frozen", hint="br3.toml has changed: br3 run takes it up"
            ) from error
        raise


def _elsewhere(session: Session, names: Sequence[str]) -> tuple[str, str] | None:
    """Of which other plan the first unknown of these builds is, and how to name that; None: of none that is known."""
    import os

    from br3.dispatch.sessions import of_build

    known = {build.id.casefold() for build in session.plan.builds}
    unknown = next((name for name in names if name.casefold() not in known), "")
    found = of_build(session.repository, unknown)
    if found is None or found.file is None or not Path(found.file["path"]).is_file():
        return None
    mine, its = session.source_file, found.source_file
    if mine is not None and its is not None and its.is_same(mine):
        return None
    file = os.path.relpath(found.file["path"])
    return file, f"name its plan (--plan {quote(file)}), or its run where that is asked for (--run {found.run})"
