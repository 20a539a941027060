"""The command line: each module parses, calls a room below, and prints. No logic lives here.

Commands are loaded when they are called: ``br3 --help`` imports click and this file only, so every command's
one-line help is kept here beside its module's name (a test compares it with the command's own).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

import click

from br3 import __version__
from br3.errors import Br3Error, UsageError, told

# group of the help → command → (module, attribute, one-line help)
COMMANDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Plan": {
        "init": ("init", "init", "Write a commented br3.toml for the project found here."),
        "plan": ("plan", "plan", "Check or show the plan; make one from a brief, answers or a goal."),
        "trust": ("trust", "trust", "See and approve the commands that the plan would run."),
        "estimate": ("estimate", "estimate", "Say what builds will take: how hard, how long, how much, which files."),
        "route": ("estimate", "route", "Say which model should do a task, and why."),
        "models": ("models", "models", "Show models, their prices, and which can be used here."),
        "demo": ("demo", "demo", "Make a small repository and take four builds all the way."),
    },
    "Build": {
        "up": ("up", "up", "Make the builds' worktrees and environments."),
        "run": ("run", "run", "Run the builds in parallel, each under its orchestrator."),
        "attach": ("attach", "attach", "Follow a run that is at work, as br3 run shows it."),
        "prompt": ("prompt", "prompt", "Print what to paste into an interactive agent."),
        "verify": ("verify", "verify", "Run a build's verification and say what it showed."),
        "worktree": ("worktree", "worktree", "Worktrees every day: make, list, switch, run, remove, prune."),
        "shell-init": ("shell_init", "shell_init", "Print what makes your shell follow br3 and complete its names."),
    },
    "Control": {
        "pause": ("control", "pause", "Let a run, or builds of it, rest until br3 resume."),
        "resume": ("control", "resume", "Let what was paused go on."),
        "cancel": ("control", "cancel", "End a run, or builds of it; all work is kept."),
        "retry": ("control", "retry", "Let a build that has ended begin again."),
        "skip": ("control", "skip", "Leave a task out."),
        "tell": ("control", "tell", "Put a note into the prompt of a build's next attempt, once."),
    },
    "Land": {
        "conflicts": ("conflicts", "conflicts", "Show which builds would conflict, and how best to land them."),
        "merge": ("merge", "merge", "Land the verified builds on the base branch, in one step."),
        "release": ("release", "release", "Tag what landed; push only when asked."),
        "clean": ("clean", "clean", "Remove worktrees and branches whose work has landed."),
        "finish": ("finish", "finish", "Merge, release, clean up, and go through the checklist."),
    },
    "Guard": {
        "hooks": ("hooks", "hooks", "Install br3's git hooks, see what they guard, take them out."),
        "scan": ("scan", "scan", "Look for secrets, SQL built from strings and conflict markers."),
    },
    "Observe": {
        "status": ("status", "status", "Show what every build is doing and what it has cost."),
        "runs": ("runs", "runs", "List the runs of this repository, the newest first."),
        "report": ("report", "report", "Report on a run: planned, done, verified, landed, spent."),
        "claims": ("claims", "claims", "List which active build claims which files."),
        "logs": ("logs", "logs", "Show what a build's agent and verification printed."),
        "costs": ("costs", "costs", "Show what models, builds, days, tasks or runs have cost."),
        "telemetry": ("telemetry", "telemetry", "Summaries, events, performance and alerts of what was recorded."),
        "sql": ("sql", "sql", "Ask the analytics in SQL; nothing can be changed, no file read."),
        "db": ("db", "db", "The analytics file: its shape, its size, making it again."),
        "doctor": ("doctor", "doctor", "Look whether all is well, and say what mends it."),
    },
}
_TOLD_TOGETHER = {"Control": "steer a run while it goes on."}
"""Groups that take one line of the help, so that it fits on a screen."""
_BY_NAME = {name: entry for group in COMMANDS.values() for name, entry in group.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_BY_NAME)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _BY_NAME:
            return None
        module, attribute, _ = _BY_NAME[cmd_name]
        command = getattr(importlib.import_module(f"br3.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Names and help without importing a single command."""
        from click.shell_completion import CompletionItem

        if incomplete and not incomplete[0].isalnum():
            return super().shell_complete(ctx, incomplete)  # options
        names = [name for name in _BY_NAME if name.startswith(incomplete)]
        return [CompletionItem(name, help=_BY_NAME[name][2]) for name in names]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _BY_NAME, n=1)
            if near:
                raise click.UsageError(f"{error.format_message()} Did you mean '{near[0]}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                if title in _TOLD_TOGETHER:
                    formatter.write_text(f"{', '.join(commands)}: {_TOLD_TOGETHER[title]}")
                    continue
                formatter.write_dl([(name, text) for name, (_, _, text) in commands.items()], col_spacing=4)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="br3", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Run several coding agents at once, each in its own git worktree; land what is verified.

    Start with `br3 demo`, or here with `br3 init`, `br3 run`, `br3 finish`.
    """


def _interrupt(*_: object) -> None:
    """TERM ends a command as Ctrl-C does: what it started is ended, throw-away worktrees go."""
    raise KeyboardInterrupt


def _gone_from_under_us() -> Br3Error | None:
    """What to say when the directory that we were called in has been removed; None when it is there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return UsageError("the directory that you are in has been removed", hint="cd to one that is there")
    return None


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``br3``, ``git-br3`` and ``python -m br3``; exits with the codes of ``br3.errors``."""
    args = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    call: dict[str, Any] = {}
    debug = "--debug" in args or os.environ.get("BR3_DEBUG") == "1"
    try:
        result: Any = cli.main(args=args, prog_name="br3", standalone_mode=False, obj=call)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as stopped:
        click.echo("\ninterrupted; the same command goes on from here", err=True)
        for note in getattr(stopped.__cause__ or stopped, "__notes__", ()):
            click.echo(note, err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output is gone (`br3 logs | head`); nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (Br3Error, OSError) as error:
        if debug:
            raise
        error = _gone_from_under_us() or error
        from br3.cli.context import hinted
        from br3.cli.output import emit_error

        said = error if isinstance(error, Br3Error) else told(error)
        said.hint = said.hint and hinted(said.hint, call)
        emit_error(said, as_json="--json" in args)
        sys.exit(said.exit_code)
    sys.exit(result if isinstance(result, int) else 0)
