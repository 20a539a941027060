"""The transcripts of agents on this machine, with what tells whether they are new.

Claude Code: ``projects/**/*.jsonl`` under its configuration directories, sub-agents' in ``<session>/subagents/``. The
name of a project's directory is its path with every other character turned into ``-``, so nothing is read from it.
Codex: ``sessions/YYYY/MM/DD/rollout-*.jsonl`` under its home.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Agent = Literal["claude", "codex"]

SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Transcript:
    """A file as its directory shows it: ``size`` in bytes, ``mtime_ns`` since 1970."""

    agent: Agent
    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Sources:
    """The directories that were looked through, and the transcripts in them, by path."""

    directories: tuple[Path, ...]
    files: tuple[Transcript, ...]


def sources(environ: Mapping[str, str]) -> Sources:
    """All transcripts of the user whose environment this is; empty where no agent has left any."""
    roots: list[tuple[Agent, Path]] = [("claude", path / "projects") for path in _claude_directories(environ)]
    roots.append(("codex", _home(environ, "CODEX_HOME", ".codex") / "sessions"))
    found: dict[Path, Agent] = {}
    for agent, root in roots:
        if root.is_dir():
            found.setdefault(root.resolve(), agent)
    files = [file for root, agent in found.items() for file in _walk(agent, str(root))]
    return Sources(tuple(found), tuple(sorted(files, key=lambda file: file.path)))


def _claude_directories(environ: Mapping[str, str]) -> list[Path]:
    named = [
        Path(word.strip()).expanduser() for word in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if word.strip()
    ]
    if named:
        return [path.parent if path.name == "projects" else path for path in named]
    return [_home(environ, "XDG_CONFIG_HOME", ".config") / "claude", _home(environ, "", ".claude")]


def _home(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    named = environ.get(variable, "")
    return Path(named).expanduser() if named else Path(environ.get("HOME") or Path.home()) / below_home


def _walk(agent: Agent, directory: str) -> Iterator[Transcript]:
    try:
        with os.scandir(directory) as listed:
            entries = list(listed)
    except OSError:
        return  # gone, or not for us to read
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(agent, entry.path)
        elif entry.name.endswith(SUFFIX) and (agent == "claude" or entry.name.startswith("rollout-")):
            try:
                if entry.is_file(follow_symlinks=False):
                    facts = entry.stat(follow_symlinks=False)
                    yield Transcript(agent, entry.path, facts.st_size, facts.st_mtime_ns, facts.st_ino)
            except FileNotFoundError:
                continue
