"""The sandbox of an attempt: what is opened in it for this build, and what its agent was heard to try."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from br3.agents import Agent, Request, agent, sandbox
from br3.agents.base import Sandbox
from br3.errors import Br3Error, Refused
from br3.orchestrator.working import Work
from br3.plan.model import Build
from br3.repo import worktrees

_MOST_TRIED = 50


def check(builds: Sequence[Build]) -> None:
    """Refused when the sandbox that a build asks for does not work here."""
    for build in builds:
        kind = kind_of(build.sandbox)
        for task in build.tasks:
            if task.agent != "manual" and kind not in agent(task.agent).supports.sandbox:
                raise Refused(
                    f'{build.id}: sandbox = "{kind}" is nothing that {task.agent} has',
                    hint='sandbox = "bwrap" works for every agent (Linux)',
                )
    if any(build.sandbox == "bwrap" and not build.manual for build in builds):
        sandbox.check()


def kind_of(name: str) -> Sandbox:
    """The sandbox that a plan names."""
    return cast(Sandbox, name)


def git_dirs(work: Work) -> tuple[Path, ...]:
    """Git's directories that a commit in the worktree writes to."""
    own = worktrees.git_dir(work.worktree)
    return sandbox.git_dirs(own, work.common_dir) if own else ()


def prepare(work: Work, chosen: Agent, request: Request) -> sandbox.Ground | None:
    """The ground of an attempt in bubblewrap, made ready; None without one."""
    ground = _ground(work, chosen, request)
    if request.sandbox != "bwrap":
        sandbox.bring_back(ground)  # of an attempt that was cut off, before the plan changed
        return None
    sandbox.check()
    sandbox.prepare(ground)
    return ground


def wrap(command: list[str], ground: sandbox.Ground | None) -> list[str]:
    """The command as it is started."""
    return command if ground is None else sandbox.wrap(command, ground)


def bring_back(work: Work, request: Request) -> None:
    """Move the build's branch to where its agent left it in the sandbox; Refused when it was left at nothing good."""
    sandbox.bring_back(_ground(work, None, request))


def _ground(work: Work, chosen: Agent | None, request: Request) -> sandbox.Ground:
    own = worktrees.git_dir(work.worktree)
    if own is None:
        raise Br3Error(f"{work.worktree} is no worktree any more", hint="br3 run makes it again")
    attempt = request.prompt_file.parent
    opened = [attempt, *([request.config_dir] if request.config_dir and request.config_dir.is_dir() else [])]
    read: list[Path] = []
    if chosen is not None and request.config_dir is not None:
        opened += sandbox.logins(request.config_dir, chosen.login)
        read += sandbox.logins(request.config_dir, chosen.settings)
    noted = work.common_dir / "br3" / "journal" / "hooks.jsonl"
    if noted.exists():  # the hooks note there what is committed
        opened.append(noted.resolve())
    return sandbox.Ground(
        worktree=work.worktree,
        git_dir=own,
        common_dir=work.common_dir,
        branch=work.build.branch,
        private=work.common_dir / "br3" / "agents" / work.build.id / "sandbox",
        home=Path.home(),
        network=request.network,
        readable=(*sandbox.below_tmp_on_path(os.environ.get("PATH", "")), *read),
        writable=tuple(opened),
    )


class Refusals:
    """Hears what the sandbox has refused: ``tried`` are paths, each once."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    def hear(self, line: bytes) -> None:
        """Take one line of an agent's output."""
        if b"Read-only file system" in line and len(self.tried) < _MOST_TRIED:
            self.tried += [path for path in sandbox.tried(line) if path not in self.tried]
