"""``br3 logs``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import pick, repository
from br3.cli.output import tame

if TYPE_CHECKING:
    from br3.agents.following import Followed
    from br3.dispatch.sessions import Session
    from br3.plan.model import Build


@click.command()
@click.argument("build", shell_complete=completing.builds)
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the build has ended.")
@click.option(
    "--run",
    "run_id",
    shell_complete=completing.runs,
    help="Another run than the newest; the beginning of its id is enough.",
)
@click.option("--raw", is_flag=True, help="Agents' output as they wrote it.")
def logs(build: str, follow: bool, run_id: str | None, raw: bool) -> int:
    """Show what a build's agent and verification printed."""
    from br3.dispatch.sessions import find
    from br3.errors import UsageError

    session = find(repository(), run_id)
    if session is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run")
    wanted = pick(session, [build])[0]
    shown = 0
    followed: dict[Path, Followed] = {}
    while True:
        ended = _has_ended(session, wanted)
        for path in _files(session, wanted):
            shown += _print_new(session, path, followed, raw, last=ended or not follow)
        if not follow or ended:
            break
        time.sleep(0.3)
    if not shown and not follow:
        click.echo(f"{wanted.id} has printed nothing yet", err=True)
    return 0


def _has_ended(session: Session, build: Build) -> bool:
    session.refresh()
    view = session.build_view(build.id)
    return view.ended or build.id not in session.view.selected


def _files(session: Session, build: Build) -> Iterator[Path]:
    """The build's logs of this run and those it continues, in the order in which they came to be."""
    found = []
    for run in reversed(session.chain):
        directory = session.repository.br3_dir / "runs" / run.id / build.id
        names = ("setup.log", "*/stdout.log", "*/stderr.log", "_verify-*/*.log")
        run_files = [path for pattern in names for path in directory.glob(pattern) if path.stat().st_size]
        found += sorted(run_files, key=_born)
    yield from found


def _born(path: Path) -> tuple[float, str]:
    # The directory of an attempt is made with its prompt, before anything is printed.
    marker = path.parent / "prompt.md"
    return ((marker if marker.exists() else path).stat().st_mtime, str(path))


def _print_new(session: Session, path: Path, followed: dict[Path, Followed], raw: bool, *, last: bool) -> int:
    """Print the lines of a log that are new; ``last``: what follows the last newline as well. Returns how many."""
    from br3.agents.following import Followed

    render = None if raw or path.name != "stdout.log" else _renderer(session, path)
    printed, terminal = 0, sys.stdout.isatty()

    def show(line: bytes) -> None:
        nonlocal printed
        if not printed and new:
            click.echo(click.style(f"── {path.relative_to(session.repository.br3_dir / 'runs')}", dim=True))
        printed += 1
        text = line.decode(errors="replace") if render is None else render(line)
        if text is not None:
            click.echo(session.journal.redact(text if raw or not terminal else tame(text)))

    new = path not in followed
    source = followed.setdefault(path, Followed(path))
    while source.feed(show, last=last):
        pass
    if not printed and new:
        del followed[path]
    if printed and last and path.name == "stdout.log":
        verdict = _verdict(session, path)
        if verdict:
            click.echo(click.style(verdict, dim=True))
    return printed


def _verdict(session: Session, path: Path) -> str | None:
    """What br3 made of the attempt, once it has ended."""
    directory, attempt = str(path.parent), None
    for event in session.events:
        this = (event.run, event.build, event.task, event.attempt)
        if event.kind == "attempt.started" and event.data.get("directory") == directory:
            attempt = this
        elif event.kind == "attempt.finished" and this == attempt:
            cause = event.data.get("cause")
            return f"── br3: failed ({cause}): {event.data.get('why')}" if cause else "── br3: succeeded"
    return None


def last_lines(session: Session, path: Path, most: int = 12) -> list[str]:
    """The last lines of a log as people read them; an agent's own output is rendered."""
    from br3.cli.progress import printable
    from br3.workspace.children import tail

    render = _renderer(session, path) if path.name == "stdout.log" else None
    raw = tail(path, 400).split("\n")
    texts = raw if render is None else [render(line.encode(errors="replace")) or "" for line in raw]
    shown = [line for text in texts for line in text.split("\n") if line.strip()]
    return [printable(session.journal.redact(line))[:400] for line in shown[-most:]]


def _renderer(session: Session, path: Path):  # type: ignore[no-untyped-def]
    """How the agent of that attempt wants its lines shown."""
    from br3.agents import agent

    name = next(
        (
            e.data["agent"]
            for e in session.events
            if e.kind == "attempt.started" and e.data.get("directory") == str(path.parent)
        ),
        "shell",
    )
    return agent(name).render
