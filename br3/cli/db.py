"""``br3 db``."""

from __future__ import annotations

import click

from br3.cli.context import json_option, repository
from br3.cli.groups import Group
from br3.wording import counted


@click.group(cls=Group)
def db() -> None:
    """The analytics file: its shape, its size, making it again."""


@db.command()
@json_option
def path(as_json: bool) -> int:
    """Print where the file lies."""
    from br3.analytics.store import analytics_path
    from br3.cli.output import emit_json

    where = analytics_path(repository().common_dir)
    if as_json:
        emit_json({"path": str(where), "exists": where.exists()})
    else:
        click.echo(str(where))
    return 0


@db.command()
@json_option
def status(as_json: bool) -> int:
    """Say which shape the file has, how large it is, and what is not in it yet."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    found = inspecting.inspect(repository().common_dir)
    if as_json:
        emit_json(found.as_json())
        return 0
    for name, text in found.lines():
        click.echo(f"{name:<10} {text}")
    return 0


@db.command()
@json_option
def migrate(as_json: bool) -> int:
    """Bring the file to this br3's shape; a copy is kept first."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    before, after = inspecting.migrate(repository().common_dir)
    if as_json:
        emit_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"the file has shape {after} already")
    else:
        click.echo(f"shape {before} → {after}")
    return 0


@db.command()
@click.option("--to", type=click.IntRange(0), help="The shape to go back to.  [default: the one before]")
@json_option
def rollback(to: int | None, as_json: bool) -> int:
    """Undo migrations; a copy is kept first. What they take away, the journal still has."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    undone, now = inspecting.roll_back(repository().common_dir, to)
    if as_json:
        emit_json({"undone": undone, "after": now})
    else:
        click.echo(f"undone: {', '.join(undone)}; shape {now}" if undone else f"nothing to undo: shape {now}")
    return 0


@db.command()
@json_option
def rebuild(as_json: bool) -> int:
    """Make the file again from archive and journal."""
    import dataclasses

    from br3.analytics import keeping
    from br3.analytics.alerts import Rules
    from br3.cli.output import emit_json
    from br3.dispatch.observing import rules_of

    common_dir = repository().common_dir
    rules, _ = rules_of(common_dir)
    folded = keeping.rebuild(
        common_dir, Rules.of(dataclasses.asdict(rules)), report=lambda text: click.echo(f"{text}…", err=True)
    )
    facts = {"events": folded.events, "segments": folded.segments, "rejected": folded.rejected}
    if as_json:
        emit_json(facts)
    else:
        click.echo(
            f"{counted(folded.events, 'event')} of {counted(folded.segments, 'segment')}"
            + (f"; {counted(folded.rejected, 'line')} could not be read (br3 doctor)" if folded.rejected else "")
        )
    return 0


@db.command()
@json_option
def compact(as_json: bool) -> int:
    """Write the file anew without the room that deleted rows have left."""
    from br3.analytics import keeping
    from br3.cli.output import emit_json

    before, after = keeping.compact(repository().common_dir)
    if as_json:
        emit_json({"bytes_before": before, "bytes_after": after})
    else:
        click.echo(f"{before / 1e6:.1f} MB → {after / 1e6:.1f} MB")
    return 0
