"""``br3 pause``, ``resume``, ``cancel``, ``retry``, ``skip``, ``tell``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import about, hinted, json_option, name_plan_of, repository

if TYPE_CHECKING:
    from br3.dispatch.controlling import Said, Target

run_option = click.option(
    "--run",
    "run_id",
    shell_complete=completing.runs,
    help="This run and no other; the beginning of its id is enough.",
)


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option("--now", is_flag=True, help="Stop agents as they are, instead of waiting for the end of the attempt.")
@run_option
@json_option
def pause(builds: tuple[str, ...], now: bool, run_id: str | None, as_json: bool) -> int:
    """Let a run, or builds of it, rest until br3 resume.

    Without BUILDS it is for the whole run (for each that is at work), and nothing new begins. While an agent is
    stopped by --now, its time-outs do not run.
    """
    from br3.dispatch import controlling

    return _say([(t, controlling.pause(t, now=now)) for t in _targets(builds, run_id)], as_json)


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@run_option
@json_option
def resume(builds: tuple[str, ...], run_id: str | None, as_json: bool) -> int:
    """Let what was paused go on.

    Without BUILDS that is each run that is at work.
    """
    from br3.dispatch import controlling

    return _say([(t, controlling.resume(t)) for t in _targets(builds, run_id)], as_json)


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option("--all", "everything", is_flag=True, help="All runs that are at work, where there are several.")
@run_option
@json_option
def cancel(builds: tuple[str, ...], everything: bool, run_id: str | None, as_json: bool) -> int:
    """End a run, or builds of it; all work is kept.

    Worktrees and commits stay as they are; br3 run goes on from there, br3 retry with one build.
    """
    from br3.dispatch import controlling
    from br3.errors import Refused

    targets = _targets(builds, run_id)
    if len(targets) > 1 and not builds and not everything:
        runs = ", ".join(target.session.run for target in targets)
        raise Refused(f"{len(targets)} runs are at work: {runs}", hint="br3 cancel --run RUN, or --all")
    done = []
    for target in targets:
        said = controlling.cancel_builds(target) if target.builds else controlling.cancel_run(target.session)
        done.append((target, said))
    return _say(done, as_json)


@click.command()
@click.argument("build", shell_complete=completing.builds)
@click.option(
    "--from", "start", metavar="TASK", shell_complete=completing.tasks, help="Do this task again, and all after it."
)
@click.option("--model", shell_complete=completing.models, help="With this model.")
@run_option
@json_option
def retry(build: str, start: str | None, model: str | None, run_id: str | None, as_json: bool) -> int:
    """Let a build that has ended begin again.

    It goes on at the first task that is not done. With --from its branch is set back to before that task; what comes
    off it is kept under refs/br3/retried.
    """
    from br3.dispatch import controlling

    return _say([(t, controlling.retry(t, start, model)) for t in _targets([build], run_id)], as_json)


@click.command()
@click.argument("task", shell_complete=completing.tasks)
@run_option
@json_option
def skip(task: str, run_id: str | None, as_json: bool) -> int:
    """Leave a task out.

    TASK is its id, or BUILD/TASK where several builds have one of that id. An attempt that is at it is stopped; what
    it left uncommitted is kept aside.
    """
    from br3.dispatch import controlling
    from br3.dispatch.sessions import latest

    build = task.rpartition("/")[0]
    if not build:
        from br3.dispatch.sessions import find

        session = find(repository(), run_id) or latest(repository())
        build = controlling.task_named(session, task)[0].id
    (target,) = _targets([build], run_id)
    found = controlling.task_named(target.session, f"{build}/{task.rpartition('/')[2]}")
    return _say([(target, controlling.skip(target.session, *found))], as_json)


@click.command()
@click.argument("build", shell_complete=completing.builds)
@click.argument("text")
@run_option
@json_option
def tell(build: str, text: str, run_id: str | None, as_json: bool) -> int:
    """Put a note into the prompt of a build's next attempt, once."""
    from br3.dispatch import controlling

    (target,) = _targets([build], run_id)
    return _say([(target, controlling.tell(target.session, target.builds[0], text))], as_json)


def _targets(names: Sequence[str], run_id: str | None) -> list[Target]:
    from br3.dispatch import controlling

    found = controlling.targets(repository(), names, run_id)
    name_plan_of(found[0].session)  # what is refused is told with its plan, too
    return found


def _say(done: list[tuple[Target, list[Said]]], as_json: bool) -> int:
    if as_json:
        from br3.cli.output import emit_json

        emit_json({"runs": [{"run": t.session.run, "done": [one.as_json() for one in said]} for t, said in done]})
        return 0
    for target, said in done:
        for one in said:
            who = f"{click.style(one.build, bold=True)}: " if one.build else ""
            text = hinted(one.text, about(target.session))
            click.echo(f"{who}{text}{'' if one.new else _AGAIN if 'not paused' not in one.text else ''}")
    return 0


_AGAIN = " (asked before)"
