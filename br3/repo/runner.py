"""Starts git: one place, so that the environment is scrubbed and every call can be traced and counted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Br3Error, UsageError

# Who one is and how one reaches a remote; where one's own configuration lies. Git's hooks never export these,
# except for the author's, which they set to the commit at hand: its date is left out for that reason.
_KEPT = frozenset(
    {
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_ASKPASS",
        "GIT_TERMINAL_PROMPT",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
    }
)

PRIVATE = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_CUSTOM_HEADERS",
        "BR3_TRUST",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CODEX_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
    }
)
"""Consent, and keys for paid models: for br3 and the agent that needs them, never for git, its hooks, a set-up, a
verification or a criterion."""

# Settings of the user's that would put something else into what git answers or writes: signatures among the lines of a
# log, other encodings than that of br3.
_PLAIN: dict[str, Mapping[str, str]] = {
    "log": {"log.showSignature": "false", "i18n.logOutputEncoding": "UTF-8"},
    "commit-tree": {"i18n.commitEncoding": "UTF-8"},
    "tag": {"i18n.commitEncoding": "UTF-8"},
}

_HALF_ADDED = re.compile(rb"worktrees/[^\n]*/commondir")

calls = 0
"""How many git processes this process has started (tests and benches of hot paths read it)."""


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """A copy of ``environ`` without the ``GIT_*`` variables that would point git somewhere else."""
    return {k: v for k, v in environ.items() if not k.startswith("GIT_") or k in _KEPT}


class GitError(Br3Error):
    """Git said no. ``stderr`` is what it printed."""

    def __init__(self, args: Sequence[str], code: int, stderr: str) -> None:
        said = stderr.strip() or "(it printed nothing)"
        super().__init__(f"git {shlex.join(args)} failed with exit code {code}: {said}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True)
class Result:
    """What one git process answered: exit code, standard output and error as bytes."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without its last newline; undecodable bytes survive a round trip."""
        return os.fsdecode(self.out).removesuffix("\n")

    @property
    def lines(self) -> list[str]:
        """Its lines, without what ends them. Only a newline does: a name or a subject may hold any other character
        that Python takes for the end of a line, and a path a carriage return."""
        return self.text.split("\n") if self.text else []

    @property
    def fields(self) -> list[str]:
        """NUL-separated standard output."""
        return [os.fsdecode(part) for part in self.out.split(b"\0") if part]


@dataclass(frozen=True)
class Git:
    """Git in one directory. Calls are safe from several threads.

    ``variables`` are added to the environment of every call, after the scrubbing.
    """

    directory: Path
    variables: tuple[tuple[str, str], ...] = ()

    def __call__(
        self,
        *args: str | os.PathLike[str],
        ok: Sequence[int] = (0,),
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Result:
        """Run ``git ARGS`` and return its answer.

        ``ok`` lists the exit codes that are answers; any other raises ``GitError``. ``env`` is added after the
        scrubbing, ``config`` becomes ``-c`` options.
        """
        global calls
        words = [os.fspath(a) for a in args]
        told = {**_PLAIN.get(words[0], {}), **(config or {})}
        settings = [w for key, value in told.items() for w in ("-c", f"{key}={value}")]
        command = ["git", *settings, *words]
        environment = {k: v for k, v in scrubbed(os.environ).items() if k not in PRIVATE}
        # br3's own calls are not the user's work: its hooks stay out of them. A status must not fight for the lock.
        environment |= {"BR3_HOOKS": "own", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        environment |= {**dict(self.variables), **(env or {})}
        started = time.monotonic()
        for pause_s in (0.02, 0.05, 0.1, 0.2, None):
            calls += 1
            done = self._start(command, environment, input)
            # Whatever lists worktrees trips over one that another process is just adding; nothing was done then.
            if pause_s is None or done.returncode != 128 or not _HALF_ADDED.search(done.stderr):
                break
            time.sleep(pause_s)
        if os.environ.get("BR3_TRACE") == "1":
            spent_ms = (time.monotonic() - started) * 1000
            line = f"br3: {spent_ms:6.1f} ms  {self.directory}$ {shlex.join(command)} → {done.returncode}\n"
            sys.stderr.write(line)
        if done.returncode not in ok:
            raise GitError(words, done.returncode, os.fsdecode(done.stderr))
        return Result(done.returncode, done.stdout, done.stderr)

    def _start(
        self, command: list[str], environment: Mapping[str, str], input: bytes | None
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                command,
                cwd=self.directory,
                env=environment,
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError as error:
            if not self.directory.is_dir():
                raise UsageError(f"the directory {self.directory} does not exist") from error
            raise UsageError("git is not on PATH", hint="install git 2.39 or newer") from error

    def at(self, directory: Path) -> Git:
        """Git in another directory, with the same variables."""
        return Git(directory, self.variables)
