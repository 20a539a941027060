"""Small things that were left lying: git's lock files, ports of worktrees that are gone, requests that nobody heeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shlex import quote

from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.errors import Refused
from br3.orchestrator import control
from br3.orchestrator.control import Request
from br3.repo.worktrees import claimed_by
from br3.telemetry import Lock, is_held
from br3.telemetry.locks import held
from br3.workspace import children, ports
from br3.workspace.occupants import occupants

_STALE_S = 60.0
"""Git holds a lock file for a moment; only a clone or a checkout of much takes longer."""


def locks(patient: Patient) -> Iterator[Finding]:
    """Lock files of a git that was killed. br3's own locks die with their holder; those that are held are named."""
    stale = [path for path in _git_locks(patient) if _age_s(path) > _STALE_S]
    for path in stale:
        at = _build_at(patient, path)
        mend = partial(_unlock, patient, path, *at) if at is not None else None
        said = f"{path} is {_age_s(path) / 60:.0f} minutes old: git was killed, or waits for an editor"
        yield Finding("locks", False, said, f"when no git is at work: rm {quote(str(path))}", mend=mend)
    if not stale:
        now = held(patient.common_dir)
        yield Finding("locks", True, f"held: {', '.join(now)}" if now else "none is held")


def _git_locks(patient: Patient) -> list[Path]:
    top = patient.common_dir
    found = [*top.glob("*.lock"), *top.glob("worktrees/*/*.lock"), *top.glob("refs/**/*.lock")]
    return sorted(path for path in found if path.is_file())


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _build_at(patient: Patient, lock: Path) -> tuple[Path, str] | None:
    """The worktree in whose git directory a lock file lies, and its build."""
    for place, build in patient.build_of.items():
        entry = claimed_by(place)
        if entry is not None and entry.resolve() == lock.parent.resolve():
            return place, build
    return None


def _unlock(patient: Patient, path: Path, place: Path, build: str) -> str:
    with Lock(patient.common_dir, "build", build).acquire():
        busy = children.marked(children.mark_of(patient.common_dir, build))
        if busy:
            raise Refused(f"processes of {build} are at work: {', '.join(map(str, busy))}")
        if path.exists() and _age_s(path) <= _STALE_S:
            raise Refused(f"{path} is another one by now: git is at work")
        # `git commit -a` keeps its lock file, closed, for as long as its editor is open.
        there = [str(one.pid) for found in occupants([place, path.parent]).values() for one in found]
        if there:
            raise Refused(f"processes are at work in {place}: {', '.join(there)}")
        path.unlink(missing_ok=True)
    return f"{path} is removed"


def registry(patient: Patient) -> Iterator[Finding]:
    """The registry of ports: whether it can be read, holds what is gone, or gives one port to two."""
    file, given = ports.file_of(patient.common_dir), ports.known_ports(patient.common_dir)
    gone = set(given) - set(ports.without_gone(given))
    seen: dict[int, str] = {}
    twice = [f"{path} and {seen[port]}" for path, port in given.items() if seen.setdefault(port, path) != path]
    if file.exists() and not given and file.read_bytes().strip() not in (b"", b"{}"):
        said = f"{file} cannot be read: worktrees get new ports"
        yield Finding("ports", True, said, f"rm {quote(str(file))}", True)
    elif twice:
        yield Finding("ports", False, f"one port for {'; '.join(twice)}", f"rm {quote(str(file))}; they get new ones")
    elif gone:
        said = f"{len(gone)} of {len(given)} are kept for worktrees that are gone"
        way = "br3 doctor --fix, or the next worktree that is made"
        yield Finding("ports", True, said, way, True, lambda: _give_back(patient))
    else:
        yield Finding("ports", True, f"{len(given)} given")


def _give_back(patient: Patient) -> str:
    number = ports.forget_gone(patient.common_dir)
    # With a worktree that was forgotten just before, its port went.
    return f"{number} given back" if number else "all were given back by now"


def requests(patient: Patient) -> Iterator[Finding]:
    """What was asked of runs that have ended, and that nobody will heed any more."""
    found = []
    for directory in sorted((patient.repository.br3_dir / "runs").glob("*")):
        run = directory.name
        if patient.is_unfinished(run) or is_held(patient.common_dir, "run", run):
            continue
        # The run that goes on with the newest one takes these over.
        newest = patient.session is not None and patient.session.run == run
        kept = ("retry", "skip", "tell") if newest else ()
        found += [(directory, one) for one in control.asked(directory) if one.what not in kept]
    if not found:
        yield Finding("requests", True, "none waits that nobody heeds")
        return
    names = ", ".join(f"{one.name} of {directory.name}" for directory, one in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    way = f"rm {quote(str(found[0][0] / control.DIRECTORY / found[0][1].name))}" + (" …" if len(found) > 1 else "")
    yield Finding(
        "requests", True, f"asked of runs that have ended: {names}{more}", way, True, lambda: _settle(patient, found)
    )


def _settle(patient: Patient, found: list[tuple[Path, Request]]) -> str:
    done = 0
    for directory, request in found:
        with Lock(patient.common_dir, "run", directory.name).acquire():
            done += control.settle(directory, request)
    return f"{done} requests are taken back"
