"""``br3 status --watch``: the same picture again as it changes.

What it costs while nothing happens: a look at the size of the journal's files and at the locks. The journal is read
when it has grown, git is asked only then, and at most every 5 s.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from br3.cli.status import Picture
    from br3.dispatch.sessions import Session
    from br3.repo.worktrees import Repository

GIT_EVERY_S = 5.0
_LOOK_EVERY_S = 1.0


def watch(repo: Repository, build: str | None, run_id: str | None, as_json: bool) -> int:
    """Print it, and again at each change until nobody is at work on the run. On a terminal it is drawn in place."""
    import sys

    from br3.cli.output import emit_json_line
    from br3.cli.progress import redrawn
    from br3.cli.status import drawn, drawn_as_json, show

    watching = Watching(repo, build, run_id)
    ticks = sys.stdout.isatty() and not as_json  # elsewhere a clock that goes on is no news
    shown: object = None
    try:
        with redrawn() as draw:
            while True:
                changed = watching.step(time.monotonic())
                if watching.picture is None:
                    return show(repo, build, run_id, as_json)
                if as_json and changed:
                    told = drawn_as_json(watching.picture)
                    if told != shown:
                        emit_json_line(told)
                    shown = told
                elif changed or ticks:
                    lines = drawn(watching.picture, build)
                    if lines != shown:
                        draw("\n".join(lines), None)
                    shown = lines
                if watching.over:
                    return 0
                time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return 0


@dataclass
class Watching:
    """One picture after the other. ``over``: nobody is at work on the run, and the picture says so."""

    repo: Repository
    build: str | None
    run_id: str | None
    picture: Picture | None = None
    over: bool = False
    _stamp: object = None
    _stamp_of_git: object = None
    _git_at_s: float = 0.0

    def step(self, now_s: float) -> bool:
        """Bring the picture up to date; whether there may be anything new in it. ``now_s``: by the monotonic clock."""
        from br3.cli.status import look
        from br3.dispatch.attending import at_work
        from br3.dispatch.sessions import find

        before = self.picture
        session = before.session if before else find(self.repo, self.run_id)
        # Taken before it looks: what is written meanwhile is for the next look.
        stamp = _stamp(session, self.build) if session else None
        ended = before is not None and not at_work(before.session)
        if before is None or (stamp != self._stamp_of_git and (ended or now_s - self._git_at_s >= GIT_EVERY_S)):
            self.picture = look(self.repo, self.build, self.run_id)
            self._git_at_s = now_s
            self._stamp_of_git = stamp
        elif stamp != self._stamp:
            self.picture = _by_the_journal(before)
        changed = before is None or stamp != self._stamp
        self._stamp = stamp
        if self.picture is not None:
            quiet = self._stamp_of_git == _stamp(self.picture.session, self.build)
            self.over = quiet and not at_work(self.picture.session)
        return changed


def _stamp(session: Session, build: str | None) -> object:
    """What is another one as soon as there may be something new to see."""
    from br3.orchestrator.showing import activity_of
    from br3.telemetry import is_held

    files = []
    for directory in (session.repository.br3_dir / "journal", session.run_dir / "_control"):
        try:
            with os.scandir(directory) as entries:
                files += sorted((entry.path, entry.stat().st_size) for entry in entries)
        except OSError:
            continue
    held = [is_held(session.common_dir, "build", one.id) for one in session.plan.builds]
    held.append(is_held(session.common_dir, "base", session.plan.base))
    activity = activity_of(session.run_dir / build) if build else None
    return files, held, is_held(session.common_dir, "run", session.run), activity


def _by_the_journal(picture: Picture) -> Picture:
    """The picture with what the journal says now; of builds that have ended since, git has the first word."""
    from br3.telemetry import is_held
    from br3.telemetry.replay import spent

    session = picture.session
    session.refresh()
    found = []
    for one in picture.found:
        view = session.build_view(one.id)
        if view.ended and not one.view.ended:
            found.append(one)
            continue
        took = spent(session.chain, one.id)
        now = replace(one, view=view, alive=is_held(session.common_dir, "build", one.id))
        now = replace(now, cost_usd=took.cost_usd, known_usd=took.known_usd)
        found.append(replace(now, tokens=took.tokens, models=took.models))
    return replace(picture, found=found)
