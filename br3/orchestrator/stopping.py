"""Why a run was stopped: written by who stops it, before it sends the signal, and told by each of its builds."""

from __future__ import annotations

from pathlib import Path

BY_USER = "stopped by the user"
_FILE = "stopped"


def note(run_dir: Path, reason: str) -> None:
    """Say why the orchestrators of this run are about to be stopped."""
    (run_dir / _FILE).write_text(reason, errors="surrogateescape")


def forget(run_dir: Path) -> None:
    """The run goes on."""
    (run_dir / _FILE).unlink(missing_ok=True)


def reason(run_dir: Path) -> str:
    """Why the run was stopped."""
    try:
        return (run_dir / _FILE).read_text(errors="surrogateescape") or BY_USER
    except OSError:
        return BY_USER
