"""``br3 finish``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from br3.cli.context import (
    ask_yes_no,
    current,
    json_option,
    plan_option,
    repository,
    require_identity,
    require_trust,
    trust_option,
)


@click.command()
@click.option("--push/--no-push", default=None, help="Push base and tag together.  [default: the plan's, else not]")
@plan_option
@trust_option
@json_option
def finish(push: bool | None, plan_file: Path | None, trusted: bool, as_json: bool) -> int:
    """Merge, release, clean up, and go through the checklist.

    Stops where something is put aside: then nothing is tagged. Called again it goes on where it stopped.
    """
    from br3.cli.clean import show_cleaned
    from br3.cli.merge import show_train
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.cli.release import show_release
    from br3.landing.training import merge
    from br3.release.checklist import check
    from br3.release.cleaning import clean
    from br3.release.tagging import release

    repo = repository()
    require_identity(repo)
    session = current(repo, plan_file)
    plan = session.plan
    require_trust(repo.common_dir, plan, trusted)
    session.site()
    told: dict[str, Any] = {}
    say = (lambda *_: None) if as_json else (lambda show, value: show(value))
    with progress([]) as shown:
        train = merge(session, plan.builds, shown.step)
    told["merge"] = train.as_json()
    say(show_train, train)
    if train.aside:
        if as_json:
            emit_json(told)
        else:
            click.echo("not released: builds were put aside; mend them and call br3 finish again", err=True)
        return 1
    wants_push = plan.release.push if push is None else push
    if plan.release.tag:
        session.refresh()
        released = release(session, tag=None, message=None, push=wants_push, remote=plan.release.remote)
        told["release"] = released.as_json()
        say(show_release, released)
    session.refresh()
    cleaned = clean(session, plan.builds)
    told["clean"] = {"removed": cleaned.removed, "kept": cleaned.kept}
    say(show_cleaned, cleaned)
    session.refresh()
    with progress([]) as shown:
        checks = check(session, None if as_json else ask_yes_no(), shown.step)
    told["criteria"] = [{"name": c.name, "met": c.met, "seen": c.seen} for c in checks]
    if as_json:
        emit_json(told)
    for line in checks if not as_json else []:
        colour = {True: "green", False: "red", None: "yellow"}[line.met]
        click.echo(f"{click.style(line.sign, fg=colour)} {line.name}  {click.style(line.seen, dim=True)}")
    if cleaned.kept:
        return 3
    return 1 if any(c.met is False for c in checks) else 0
