"""Claims in a form that hooks can read: a small file for each active build, below ``<common dir>/br3/claims``.

    run=20261122-104501-a3f2
    regex="/src(?:/[^/]+)*"             as JSON; what the guard matches
    spec=:(top,glob)src/**              what git itself is asked first

A file is only a hint that there may be a claim: it counts while the lock of its build or of its run is held. So one
that a killed dispatcher has left costs a look, and claims nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from br3.plan.globs import as_pathspecs, as_regex
from br3.plan.model import Build
from br3.telemetry import is_held

DIRECTORY = "br3/claims"


class Published:
    """The claims of one run, as far as they are published."""

    def __init__(self, common_dir: Path, run: str) -> None:
        self._common_dir, self._run = common_dir, run
        self._directory = common_dir / DIRECTORY
        self._now: set[str] | None = None

    def update(self, active: Iterable[Build]) -> None:
        """These builds are active, and no others of the run."""
        claiming = {build.id: build for build in active if build.owns and not build.shared}
        if self._now == set(claiming):
            return
        if self._now is None:
            self._tidy()
        for gone in (self._now or set()) - set(claiming):
            (self._directory / gone).unlink(missing_ok=True)
        for name in set(claiming) - (self._now or set()):
            self._write(claiming[name])
        self._now = set(claiming)

    def _tidy(self) -> None:
        """Remove what killed dispatchers have left."""
        for path in self._directory.glob("*"):
            run = _run_of(path)
            if run == self._run or not (is_held(self._common_dir, "run", run) or _at_work(self._common_dir, path.name)):
                path.unlink(missing_ok=True)

    def _write(self, build: Build) -> None:
        lines = [f"run={self._run}"]
        for pattern in build.owns:
            lines.append(f"regex={json.dumps(as_regex(pattern))}")
            # What a line cannot hold is left to the guard.
            lines += [f"spec=:(top,glob){name}" for name in as_pathspecs(pattern) or ["**"]]
        self._directory.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self._directory, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(f"{line}\n" for line in lines))
        os.replace(draft, self._directory / build.id)


def _at_work(common_dir: Path, build: str) -> bool:
    return is_held(common_dir, "build", build)


def _run_of(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").partition("\n")[0].removeprefix("run=")
    except OSError:
        return ""
