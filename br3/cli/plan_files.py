"""What the commands that make a plan have in common: where it goes, writing it, checking it, paying for Claude."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.wording import counted

if TYPE_CHECKING:
    from br3.models.asking import Asking, Spent
    from br3.plan.briefs import Here
    from br3.plan.checking import Checked

OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help='Write it here; "-": print it.  [default: br3.toml at the root of the repository]',
)
FORCE = click.option("--force", is_flag=True, help="Replace a file that is there.")


def place_of(output: Path | None) -> tuple[Here, Path | None]:
    """The repository that the plan is for, and the file to write; None for standard output."""
    from br3.plan.briefs import Here
    from br3.plan.detection import detect, on_path
    from br3.plan.location import PLAN_FILE, current_branch, worktree_root

    root = worktree_root(Path.cwd())
    here = Here(root or Path.cwd(), current_branch(root) if root else None, detect(root or Path.cwd(), on_path))
    if output is not None and str(output) == "-":
        return here, None
    return here, output if output is not None else here.root / PLAN_FILE


def check_target(target: Path | None, force: bool) -> None:
    """Refused where a file would be written over; before anything is asked or paid for."""
    from br3.errors import Refused, UsageError
    from br3.plan.text import said

    if target is None:
        return
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory {target.parent}", hint="name another file: -o FILE")
    if not force and os.path.lexists(target):
        raise Refused(f"{said(target)} is there already", hint="--force replaces it; -o FILE writes another one")


def write(target: Path | None, text: str, force: bool) -> None:
    """Put the text there in one step, so that no half of it is ever seen; or print it."""
    import tempfile

    if target is None:
        click.echo(text, nl=False)
        return
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o666 & ~mask)
        if force:
            draft.replace(target)
        else:
            _link(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _link(draft: Path, target: Path) -> None:
    """Give the file its name only if nobody else has taken it meanwhile."""
    try:
        os.link(draft, target)
    except FileExistsError:
        check_target(target, force=False)
    except OSError:  # a file system without hard links
        check_target(target, force=False)
        draft.replace(target)


def verdict(target: Path | None, text: str, here: Here) -> Checked:
    """What br3 plan check says of the text, as it is read where it was written."""
    import tempfile
    from dataclasses import replace
    from functools import partial

    from br3.plan.checking import check
    from br3.plan.loading import accepting, local_branches
    from br3.plan.settings import gather

    settings, accepts = gather({}, os.environ), accepting(Path.cwd())
    branches = partial(local_branches, here.root)
    if target is not None:
        return check(target, git_accepts_branch=accepts, branches=branches, settings=settings)
    with tempfile.TemporaryDirectory(prefix="br3-") as directory:
        path = Path(directory) / "br3.toml"
        path.write_text(text, encoding="utf-8")
        found = check(path, git_accepts_branch=accepts, branches=branches, settings=settings)
    named = [tuple(replace(one, file=path.name) for one in some) for some in (found.problems, found.warnings)]
    return replace(found, problems=named[0], warnings=named[1])


def say_checked(checked: Checked, target: Path | None, text: str) -> None:
    """What was written, and what is wrong with it."""
    from br3.plan.text import said

    name = said(target) if target is not None else "the plan"
    if target is not None:
        click.echo(f"written: {name}", err=True)
    for problem in checked.problems:
        click.echo(str(problem), err=True)
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    if checked.problems:
        click.echo(
            f"{counted(len(checked.problems), 'problem')}: correct this, then {looking('check', target)}", err=True
        )


def looking(how: str, target: Path | None) -> str:
    """The command that checks or shows what was written."""
    from br3.plan.location import PLAN_FILE

    named = target is not None and target.resolve() != Path.cwd() / PLAN_FILE
    return f"br3 plan {how}" + (f" {shlex.quote(str(target))}" if named else "")


def asking(model: str) -> Asking:
    """How Claude is reached: the key comes from the environment, else from ``.env``."""
    from br3.agents import agent
    from br3.agents.keys import find
    from br3.errors import UsageError
    from br3.models.asking import Asking
    from br3.plan.location import worktree_root

    root = worktree_root(Path.cwd())
    key = next(iter(find(agent("claude"), os.environ, root / ".env" if root else None)), None)
    if key is not None and key.complaint:
        raise UsageError(key.complaint, hint="br3 doctor")
    found = key.value if key is not None and key.variable == "ANTHROPIC_API_KEY" else None
    return Asking(model, found)


def record(spent: Spent) -> None:
    """What asking has cost is usage like any other; outside of a repository nobody keeps it."""
    from br3.agents.asked import usage_of
    from br3.errors import Br3Error
    from br3.repo.worktrees import discover
    from br3.telemetry import Journal

    used = usage_of(spent, "plan")
    for usage in used:
        if usage.input_tokens is None:
            click.echo(f"asked {spent.model}: a request was not answered; what it cost is not known", err=True)
            continue
        cost = f"{usage.cost_usd:.4f} USD" if usage.cost_usd is not None else "a price that is not known"
        click.echo(f"asked {spent.model}: {spent.tokens.prompt} tokens in, {spent.tokens.output} out, {cost}", err=True)
    if not used:
        return
    try:
        common_dir = discover(Path.cwd()).common_dir
    except Br3Error:
        return
    for usage in used:
        Journal(common_dir).append("usage.recorded", **usage.as_data())
