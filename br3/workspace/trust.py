"""What the user has approved: commands that a repository brings along run only after that.

A plan is code from whoever wrote it. Approvals lie under the user's state directory, outside the repository, keyed by
the repository's path and the exact text of each command; a changed command is another command.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Refused
from br3.plan.model import Plan
from br3.telemetry.journal import now


@dataclass(frozen=True)
class Command:
    """One command of the plan: what it is for, where the plan has it, and its exact text."""

    purpose: str
    where: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.purpose}\0{self.text}".encode(errors="surrogateescape")).hexdigest()


def commands_of(plan: Plan) -> list[Command]:
    """Everything the plan makes br3 run, by purpose; each text once per purpose, with all the places that have it."""
    found = [Command("set-up", "setup", text) for text in plan.setup.run]
    for build in plan.builds:
        found += [Command("set-up", build.id, text) for text in build.setup]
        for task in build.tasks:
            if task.agent == "shell":
                found.append(Command("agent", f"{build.id} {task.id}", task.command or ""))
            elif task.agent != "manual":
                # Its prompts come from the plan too, and it may run any command in its worktree.
                found.append(Command("agent", build.id, f"{task.agent} (works by itself, runs commands)"))
        found += [Command("verification", build.id, text) for text in build.verify.run]
    found += [Command("verification", "verify", text) for text in plan.verify.run]
    found += [Command("criterion", c.name, c.run) for c in plan.criteria if c.run]
    found += [Command("pre-push", "hooks", text) for text in plan.hooks.pre_push]
    if plan.alerts.notify:
        found.append(Command("notification", "alerts", plan.alerts.notify))
    places: dict[str, list[Command]] = {}
    for command in found:
        places.setdefault(command.digest, []).append(command)
    once = [Command(same[0].purpose, ", ".join(c.where for c in same), same[0].text) for same in places.values()]
    order = ("set-up", "agent", "verification", "criterion", "pre-push", "notification")
    return sorted(once, key=lambda command: order.index(command.purpose))


def state_file(common_dir: Path) -> Path:
    """Where the approvals for a repository lie."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(str(common_dir).encode(errors="surrogateescape")).hexdigest()[:32]
    return state / "br3" / "trust" / f"{name}.json"


def missing(common_dir: Path, commands: Sequence[Command]) -> list[Command]:
    """Those of ``commands`` that nobody has approved for this repository."""
    approved = _read(common_dir)
    return [command for command in commands if command.digest not in approved]


def approve(common_dir: Path, commands: Sequence[Command]) -> None:
    """Remember ``commands`` as approved."""
    approved = _read(common_dir)
    for command in commands:
        approved[command.digest] = {"purpose": command.purpose, "text": command.text, "when": now()}
    _write(common_dir, approved)


def revoke(common_dir: Path) -> int:
    """Forget all approvals for this repository; returns how many there were."""
    count = len(_read(common_dir))
    state_file(common_dir).unlink(missing_ok=True)
    return count


def require(
    common_dir: Path, plan: Plan, *, trusted: bool, ask: Callable[[list[Command]], bool] | None
) -> list[Command]:
    """Make sure that every command of the plan is approved; returns those that were approved just now.

    ``trusted`` (``--trust``, ``BR3_TRUST=1``) approves without asking; ``ask`` shows them to a person, None when there
    is no terminal. Refused otherwise.
    """
    hint = "br3 trust --list shows them; br3 trust on a terminal, or --trust / BR3_TRUST=1, approves them"
    return require_commands(common_dir, commands_of(plan), "of the plan's commands", hint, trusted=trusted, ask=ask)


def require_commands(
    common_dir: Path,
    commands: Sequence[Command],
    whose: str,
    hint: str,
    *,
    trusted: bool,
    ask: Callable[[list[Command]], bool] | None,
) -> list[Command]:
    """The same for some commands; ``whose`` and ``hint`` are for the refusal where nobody can be asked."""
    wanted = missing(common_dir, commands)
    if not wanted:
        return []
    if not trusted:
        if ask is None:
            raise Refused(
                f"not approved: {len(wanted)} {whose}, such as: {_first_line(wanted[0].text)}",
                hint=hint,
            )
        if not ask(wanted):
            raise Refused("the commands were not approved; nothing was run", hint=hint)
    approve(common_dir, wanted)
    return wanted


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:80]


def _read(common_dir: Path) -> dict[str, dict[str, str]]:
    try:
        data = json.loads(state_file(common_dir).read_text())
        return dict(data["approved"]) if data.get("repository") == str(common_dir) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(common_dir: Path, approved: dict[str, dict[str, str]]) -> None:
    path = state_file(common_dir)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as draft:
        json.dump({"repository": str(common_dir), "approved": approved}, draft, indent=1)
    Path(draft.name).replace(path)
