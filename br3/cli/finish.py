"""``br3 finish``."""

from __future__ import annotations

from typing import Any

import click

from br3.cli.context import (
    ask_yes_no,
    current,
    json_option,
    pick,
    repository,
    require_identity,
    require_trust,
    say_if_plan_changed,
    trust_option,
)


@click.command()
@click.argument("builds", nargs=-1)
@click.option("--push/--no-push", default=None, help="Push base and tag together.  [default: the plan's, else not]")
@trust_option
@json_option
def finish(builds: tuple[str, ...], push: bool | None, trusted: bool, as_json: bool) -> int:
    """Merge, release, clean up, and go through the checklist.

    With BUILDS only those; the others stay as they are. Stops where something is put aside: then nothing is tagged.
    Called again it goes on where it stopped. The checklist's commands run in a throw-away worktree of base; ✓ is met,
    ✗ is not (exit code 1), ? cannot be told.
    """
    from br3.cli.clean import show_cleaned
    from br3.cli.merge import show_train
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.cli.release import show_release
    from br3.landing.training import merge
    from br3.release.checklist import conclude, run_commands
    from br3.release.cleaning import clean
    from br3.release.tagging import check as check_release
    from br3.release.tagging import release

    repo = repository()
    require_identity(repo)
    session = current(repo)
    plan = session.plan
    require_trust(repo.common_dir, plan, trusted)
    session.site()
    say_if_plan_changed(session)
    wanted = pick(session, builds)
    wants_push = plan.release.push if push is None else push
    check_release(session, push=wants_push, remote=plan.release.remote)
    told: dict[str, Any] = {}
    say = (lambda *_: None) if as_json else (lambda show, value: show(value))
    with progress([]) as shown:
        train = merge(session, wanted, shown.step)
    told["merge"] = train.as_json()
    say(show_train, train)
    if train.aside:
        if as_json:
            emit_json(told)
        else:
            good = " ".join([*train.before, *train.landed])
            without = f", or leave them out: br3 finish {good}" if good else ""
            click.echo(f"not released: builds were put aside; mend them and call br3 finish again{without}", err=True)
        return 1
    if plan.release.tag:
        session.refresh()
        released = release(session, tag=None, message=None, push=wants_push, remote=plan.release.remote)
        told["release"] = released.as_json()
        say(show_release, released)
    session.refresh()
    cleaned = clean(session, wanted)
    told["clean"] = {"removed": cleaned.removed, "kept": cleaned.kept}
    say(show_cleaned, cleaned)
    session.refresh()
    with progress([]) as shown:
        seen = run_commands(session, shown.step)
    checks = []
    for check in conclude(session, seen, None if as_json else ask_yes_no()):
        checks.append(check)
        if not as_json:
            colour = {True: "green", False: "red", None: "yellow"}[check.met]
            click.echo(f"{click.style(check.sign, fg=colour)} {check.name}  {click.style(check.seen, dim=True)}")
    told["criteria"] = [{"name": c.name, "met": c.met, "seen": c.seen} for c in checks]
    if as_json:
        emit_json(told)
    if cleaned.kept:
        return 3
    return 1 if any(c.met is False for c in checks) else 0
