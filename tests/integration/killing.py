"""A git that kills whoever called it with ``kill -9``, to stop br3 at one place of what it does."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import psutil


def git_that_kills(directory: Path, when: str, *, after: bool) -> dict[str, str]:
    """An environment whose git kills its caller at a call with the words ``when``: instead of it, or after it."""
    strike = _strike()
    if after:
        strike = f'{_real()} "$@"; {strike}'
    return _wrapped(directory, f'case "$*" in *{shlex.quote(when)}*) {strike};; esac')


def git_that_kills_at(directory: Path, call: int) -> tuple[dict[str, str], Path]:
    """An environment whose git kills its caller at each call from the ``call``-th on; and the file that counts them."""
    count = directory / "count"
    kept = shlex.quote(str(count))
    counting = f"printf x >> {kept}\nread -r seen < {kept}\n"
    return _wrapped(directory, f"{counting}if test ${{#seen}} -ge {call}; then {_strike()}; fi"), count


def _real() -> str:
    return shlex.quote(str(shutil.which("git")))


def _strike() -> str:
    # A call whose caller is dead already has another parent by now: init, or these tests, where they reap orphans.
    spared = " ".join(str(process) for process in (1, os.getpid(), *(p.pid for p in psutil.Process().parents())))
    return f'case " {spared} " in *" $PPID "*) ;; *) kill -9 $PPID;; esac; exit 1'


def _wrapped(directory: Path, lines: str) -> dict[str, str]:
    directory.mkdir()
    wrapper = directory / "git"
    wrapper.write_text(f'#!/bin/sh\n{lines}\nexec {_real()} "$@"\n')
    wrapper.chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
