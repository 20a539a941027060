"""``br3 plan import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli.context import json_option
from br3.cli.plan_files import FORCE, OUTPUT, check_target, looking, place_of, say_checked, verdict, write
from br3.wording import counted

if TYPE_CHECKING:
    from br3.plan.briefs import Here, Imported


@click.command("import")
@click.argument("brief", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@OUTPUT
@FORCE
@click.option("--ai", is_flag=True, help="Let Claude place what is left, and ask before it counts; costs a few cents.")
@click.option("--model", default="sonnet", show_default=True, help="With --ai: the model that is asked.")
@click.option("--yes", is_flag=True, help="With --ai: take what Claude has placed without being asked.")
@json_option
def import_(brief: Path, output: Path | None, force: bool, ai: bool, model: str, yes: bool, as_json: bool) -> int:
    """Make br3.toml from a written brief.

    BRIEF is Markdown as people write it: builds under headings, in a table or a list, with tasks, prompts, branches,
    commands that verify them, an order to merge in, a tag ("-": standard input). What could not be placed is listed,
    and stands as comments in the file. Exits with 2 when br3 plan check finds problems in what was written.
    """
    from br3.cli.output import emit_json
    from br3.plan.briefs import import_brief
    from br3.plan.text import said

    text, name = _read(brief)
    here, target = place_of(output)
    check_target(target, force)
    if ai:
        _check_can_ask(yes)
    made = import_brief(text, name, here)
    if ai:
        made = _with_claude(made, name, here, model, yes, as_json)
    write(target, made.text, force)  # before anything is told: Claude may have been paid for it
    if not as_json:
        _tell(made, name, target)
    checked = verdict(target, made.text, here)
    if as_json:
        emit_json(_json(made, target, checked))
    else:
        say_checked(checked, target, made.text)
        if target is not None and not checked.problems:
            click.echo(f"next: read {said(target)}, then {looking('show', target)}", err=True)
    return 2 if checked.problems else 0


def _read(brief: Path) -> tuple[str, str]:
    import sys

    from br3.errors import UsageError

    name = "standard input" if str(brief) == "-" else brief.name
    try:
        raw = sys.stdin.buffer.read() if str(brief) == "-" else brief.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no {brief}", hint="br3 plan import BRIEF.md") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}, line {line}: not UTF-8", hint="save the brief as UTF-8") from error
    if not text.strip():
        raise UsageError(f"{name} is empty", hint="br3 plan new asks for builds instead")
    return text, name


def _tell(made: Imported, name: str, target: Path | None) -> None:
    """What was made of the brief, on standard error: the plan itself may go to standard output."""

    data = made.sketch.data
    builds, tasks = data.get("build", []), sum(len(build.get("task", [])) for build in data.get("build", []))
    placed = [counted(len(builds), "build"), counted(tasks, "task")]
    if tag := data.get("release", {}).get("tag"):
        placed.append(f"tag {tag}")
    if "criterion" in data:
        placed.append(f"{len(data['criterion'])} lines of checklist")
    click.echo(f"{name}: {', '.join(placed)}", err=True)
    for note in made.notes:
        click.echo(f"  {f'line {note.line}: ' if note.line else ''}{_safe(note.text)}", err=True)
    if made.unplaced:
        what = "lines" if len(made.unplaced) > 1 else "line"
        click.echo(f"not placed: {len(made.unplaced)} {what}, kept as comments at the end of the file", err=True)
    under: str | None = None
    for line in made.unplaced:
        if line.under != under:
            under = line.under
            click.echo(click.style(f"  {_safe(under) or 'at its beginning'}", dim=True), err=True)
        missing = f"   [in part: {' '.join(line.missing)}]" if line.missing else ""
        text = _safe(line.text)
        click.echo(f"{line.line:>6}  {text if len(text) <= 100 else text[:99] + '…'}{_safe(missing)}", err=True)


def _safe(text: str) -> str:
    """Without what could steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _json(made: Imported, target: Path | None, checked: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "file": str(target) if target else None,
        "ok": not checked.problems,
        "plan": made.sketch.data,
        "notes": [asdict(note) for note in made.notes],
        "unplaced": [asdict(line) for line in made.unplaced],
        "errors": [asdict(problem) for problem in checked.problems],
        "warnings": [asdict(warning) for warning in checked.warnings],
        "toml": made.text,
    }


def _check_can_ask(yes: bool) -> None:
    from br3.cli.context import ask_yes_no
    from br3.errors import UsageError

    if not yes and ask_yes_no() is None:
        raise UsageError("--ai shows what Claude has placed and asks, but nobody is here to be asked", hint="add --yes")


def _with_claude(made: Imported, name: str, here: Here, model: str, yes: bool, as_json: bool) -> Imported:
    """The plan with what Claude has placed, if the user takes it; else as it was."""
    from br3.cli.context import ask_yes_no
    from br3.cli.plan_files import asking, record
    from br3.plan.briefs.asking import place_rest

    if not made.unplaced:
        click.echo("everything is placed: Claude was not asked", err=True)
        return made
    answer = place_rest(made, name, here, asking(model))
    record(answer.spent)
    for line in answer.said:
        click.echo(_safe(line), err=True)
    if answer.made is None:
        return made
    if not as_json:
        click.echo(_coloured(answer.diff), err=True, nl=False)
    ask = ask_yes_no()
    if yes or (ask is not None and ask("Take what Claude has placed?")):
        return answer.made
    click.echo("not taken; the plan is as it was read", err=True)
    return made


def _coloured(diff: str) -> str:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    lines = [click.style(_safe(line), fg=colours.get(line[:1])) for line in diff.splitlines()]
    return "\n".join(lines) + "\n"
