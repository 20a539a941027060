"""``br3 plan new``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli.plan_files import FORCE, OUTPUT, check_target, looking, place_of, say_checked, verdict, write
from br3.wording import counted

if TYPE_CHECKING:
    from br3.plan.briefs import Here


@click.command()
@OUTPUT
@FORCE
@click.option(
    "--from-issue-list",
    "issue_list",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="One build for each checkbox, numbered line or `#12 title` of this file; asks nothing.",
)
def new(output: Path | None, force: bool, issue_list: Path | None) -> int:
    """Make br3.toml by answering a few questions.

    What is asked: the builds, what each does, which files it may change, how it is verified. Ctrl-C leaves nothing
    behind. With --from-issue-list nothing is asked ("-": standard input).
    """
    from br3.plan.text import said

    here, target = place_of(output)
    check_target(target, force)
    data, head, remarks = _from_list(issue_list, here) if issue_list is not None else _asked(here)
    from br3.plan.briefs.beginning import written

    text = written(data, head, here, remarks)
    write(target, text, force)
    checked = verdict(target, text, here)
    say_checked(checked, target, text)
    if target is not None and not checked.problems:
        click.echo(f"next: read {said(target)}, then {looking('show', target)}", err=True)
    return 2 if checked.problems else 0


Made = tuple[dict[str, Any], list[str], list[tuple[int, str]]]


def _from_list(path: Path, here: Here) -> Made:
    import sys

    from br3.errors import UsageError
    from br3.plan.briefs.beginning import build_of, frame, issues
    from br3.plan.briefs.masking import TOLD, masked

    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        lines, secret = masked(raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n"))
    except FileNotFoundError:
        raise UsageError(f"there is no {path}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", hint="save it as UTF-8") from error
    found, rest = issues("\n".join(lines))
    open_ones = [issue for issue in found if not issue.done]
    if not open_ones:
        raise UsageError(
            f"no open entry was found in {path}", hint="one line for each: - [ ] title, 1. title, #12 title"
        )
    data = frame(here)
    builds: list[dict[str, Any]] = []
    for issue in open_ones:
        builds.append(build_of(issue, [build["id"] for build in builds]))
    data["build"] = builds
    name = "standard input" if str(path) == "-" else path.name
    click.echo(f"{name}: {counted(len(builds), 'build')}", err=True)
    for number in secret:
        click.echo(f"  line {number}: {TOLD}", err=True)
    left = sorted([*rest, *(issue.line for issue in found if issue.done)])
    for number in left:
        done = any(issue.line == number and issue.done for issue in found)
        click.echo(
            f"{number:>6}  {_safe(lines[number - 1].strip())}{'  (done already)' if done else '  (no entry)'}", err=True
        )
    head = [f"The plan of a run, one build for each open entry of {name}. Say what each may change (owns), then:"]
    if left:
        head += ["", "Not among them:", *(f"{number:>5}  {lines[number - 1].strip()}" for number in left)]
    return data, head, [(0, 'owns = ["src/**"]  # what a build may change; overlaps are told before anything starts')]


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _asked(here: Here) -> Made:
    """The plan as a person tells it. Raises Interrupted when it breaks off; nothing is written before the end."""
    from br3.errors import Interrupted

    try:
        return _interview(here)
    except (click.Abort, KeyboardInterrupt, EOFError):
        raise Interrupted("broken off; nothing was written", hint="br3 plan new") from None


def _interview(here: Here) -> Made:
    from br3.plan.briefs.beginning import frame
    from br3.plan.loading import local_branches
    from br3.plan.template import NOTHING_TO_RUN

    click.echo(f"{here.root}: {', '.join(here.detected.kinds) or 'no kind of project recognised'}", err=True)
    name = _ask("Name of the plan", here.root.name)
    branches = local_branches(here.root)
    base = _ask_valid(
        "Branch to start from and to land on",
        here.branch or "main",
        lambda value: _ref(value) or _gone(value, branches),
    )
    data = frame(here, name, base)
    tested = _commands("How is all of it tested? (commands, one a line)", list(here.detected.verify))
    data["verify"] = {"run": tested or [NOTHING_TO_RUN]}
    builds: list[dict[str, Any]] = []
    click.echo("\nNow the builds: each is a branch, a worktree and an agent of its own.", err=True)
    while True:
        builds.append(_build(len(builds) + 1, builds, tested))
        if not click.confirm("\nAnother build?", default=len(builds) < 2, err=True):
            break
    data["build"] = builds
    if click.confirm("Tag what lands?", default=False, err=True):
        tag = _ask_valid("Tag", "v0.1.0", _ref)
        data["release"] = {"tag": tag, "message": name}
    return data, ["The plan of a run, as it was told to br3 plan new. Then:"], []


def _build(number: int, others: list[dict[str, Any]], tested: list[str]) -> dict[str, Any]:
    from br3.plan.briefs.signs import slug

    click.echo(f"\n{click.style(f'Build {number}', bold=True)}", err=True)
    title = _ask("Title")
    taken = {build["id"].casefold() for build in others}

    def free(value: str) -> str | None:
        from br3.plan.schema import _ID

        if not _ID.fullmatch(value):
            return "letters, digits, '.', '_' and '-', a letter or digit first"
        return f"there is a build {value} already" if value.casefold() in taken else None

    build: dict[str, Any] = {"id": _ask_valid("Id", slug(title, 32) or f"build-{number}", free), "title": title}
    click.echo("What is to be done? (end with an empty line)", err=True)
    told = _lines()
    build["prompt"] = "\n".join(told or [title]) + "\n"
    patterns = _owned("Files and directories that it may change (empty: any)")
    if patterns:
        build["owns"] = patterns
    wanted = _commands("How is this build verified?", tested)
    if wanted and wanted != tested:
        build["verify"] = {"run": wanted}
        least = _ask("Tests that must pass at least (empty: no minimum)", "", show=False)
        if least.isdigit():
            build["verify"]["min_passed"] = int(least)
    elif not wanted and not tested:
        click.echo("  nothing verifies it yet: say it in [build.verify]", err=True)
    return build


def _ask(question: str, default: str | None = None, *, show: bool = True) -> str:
    said = click.prompt(question, default=default, show_default=show and bool(default), err=True)
    return _masked([str(said).strip()])[0]


def _ask_valid(question: str, default: str, wrong: Any) -> str:
    while True:
        said = _ask(question, default)
        reason = wrong(said)
        if reason is None:
            return said
        click.echo(f"  {reason}", err=True)


def _owned(question: str) -> list[str]:
    """Patterns of ``owns``: every word of the answer but *and*; what lies elsewhere is asked for again."""
    from br3.plan.briefs.paths import as_owned

    while True:
        words = [word.removeprefix("./") for word in re.split(r"[,\s]+", _ask(question, "", show=False))]
        words = [word for word in words if word and word.casefold() != "and"]
        strange = [word for word in words if word.startswith(("/", "~")) or ".." in word.split("/")]
        if not strange:
            break
        click.echo(f"  {strange[0]} is not below this repository", err=True)
    patterns = [as_owned(word) for word in words]
    if patterns:
        click.echo(f"  owns {', '.join(patterns)}", err=True)
    return patterns


def _ref(value: str) -> str | None:
    from br3.plan.refnames import refusal

    reason = refusal(value)
    return f"git refuses {value!r}: it {reason}" if reason else None


def _gone(value: str, branches: list[str]) -> str | None:
    from br3.plan.problems import branches_here

    # A repository without a commit has no branch yet.
    gone = bool(branches) and value not in branches
    return f"there is no local branch {value!r}; {branches_here(branches)}" if gone else None


def _lines() -> list[str]:
    found: list[str] = []
    while line := str(click.prompt("  ", default="", show_default=False, prompt_suffix="", err=True)).rstrip():
        found.append(line)
    return _masked(found)


def _masked(answers: list[str]) -> list[str]:
    """What was typed, without secrets; that there was one is told."""
    from br3.plan.briefs.masking import TOLD, masked

    safe, secret = masked(answers)
    if secret:
        click.echo(f"  {TOLD}", err=True)
    return safe


def _commands(question: str, default: list[str]) -> list[str]:
    shown = f" [{' && '.join(default)}]" if default else ""
    click.echo(f"{question}{shown} (end with an empty line)", err=True)
    return _lines() or default
