"""``br3 finish``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import (
    ask_yes_no,
    consent,
    json_option,
    run_of_plan_option,
    say,
    say_if_plan_changed,
    trust_option,
    workspace,
)

if TYPE_CHECKING:
    from br3.api.finishing import Finished
    from br3.cli.progress import Progress
    from br3.landing.testing import Picture


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option("--push/--no-push", default=None, help="Push base and tag together.  [default: the plan's, else not]")
@run_of_plan_option
@trust_option
@json_option
def finish(builds: tuple[str, ...], push: bool | None, plan_file: Path | None, trusted: bool, as_json: bool) -> int:
    """Merge, release, clean up, and go through the checklist.

    With BUILDS only those; the others stay as they are. Stops where something is put aside: then nothing is tagged.
    Where the plan lands by pull request it stops once the requests stand, and goes on when they are merged and pulled.
    Called again it goes on where it stopped. The checklist's commands run in a throw-away worktree of base; ✓ is met,
    ✗ is not (exit code 1), ? cannot be told.
    """
    from br3.api import finishing
    from br3.cli.output import emit_json

    session, wanted = finishing.ready(workspace(plan_file), builds, push, consent(trusted))
    say_if_plan_changed(session)
    with _Shown() as shown:

        def tell(part: Any) -> None:
            shown.close()
            if not as_json:
                _tell(part, session.plan.base)

        def ask(question: str) -> bool:
            shown.close()
            return put is not None and put(question)

        put = None if as_json else ask_yes_no()
        done = finishing.conclude(session, wanted, push, shown, tell, ask if put else None)
    if as_json:
        emit_json(done.as_json())
    elif done.stopped is not None:
        say("not released: " + _way_on(done, push), err=True)
    return done.exit_code


def _way_on(done: Finished, push: bool | None) -> str:
    """What to do where it stopped, with the options of this call."""
    again = "br3 finish" + {True: " --push", False: " --no-push", None: ""}[push]
    if done.stopped == "requested":
        return f"that is for when they are merged and pulled; then {again} again"
    gone = done.given_up
    good = " ".join([*done.landed.before, *done.landed.landed])
    without = f", or leave them out: {again} {good}" if good else ""
    if not gone:
        return f"builds were put aside; mend them and call {again} again{without}"
    were = "was given up, its worktree and branch are" if len(gone) == 1 else "were given up, what they had is"
    rest = "" if len(gone) == len(done.landed.aside) else "; others were put aside: mend them"
    way = f"take {'it' if len(gone) == 1 else 'them'} out of the plan, then br3 run and {again}"
    return f"{', '.join(gone)} {were} gone{rest}\nnext:  {way}{without}"


class _Shown(ExitStack):
    """Progress that is there while there is some; ``close`` takes it away for what is printed or asked in between."""

    _form: Progress | None = None

    def step(self, text: str) -> None:
        self._open().step(text)

    def train(self, picture: Picture) -> None:
        self._open().train(picture)

    def close(self) -> None:
        self._form = None
        super().close()

    def _open(self) -> Progress:
        from br3.cli.progress import progress

        if self._form is None:
            self._form = self.enter_context(progress([]))
        return self._form


def _tell(part: Any, base: str) -> None:
    from br3.cli.clean import show_cleaned
    from br3.cli.merge import show_requested, show_train
    from br3.cli.release import show_release
    from br3.landing.requests import Requested
    from br3.landing.training import Train
    from br3.release.checklist import Checked
    from br3.release.cleaning import Cleaned
    from br3.release.making import Released

    match part:
        case Train():
            show_train(part)
        case Requested():
            show_requested(part)
        case Released():
            show_release(part, base)
        case Cleaned():
            show_cleaned(part)
        case Checked():
            colour = {True: "green", False: "red", None: "yellow"}[part.met]
            click.echo(f"{click.style(part.sign, fg=colour)} {part.name}  {click.style(part.seen, dim=True)}")
