"""Processes that were left: of builds at which nobody is at work, of runs that are gone. Found by their mark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.doctor.saying import clean
from br3.telemetry import Lock, is_held
from br3.workspace import children

_COMMANDS = {"br3.orchestrator": "orchestrator", "br3.cli.detached": "dispatcher"}


@dataclass(frozen=True)
class _Process:
    pid: int
    words: tuple[str, ...]
    environ: dict[str, str]

    @property
    def command(self) -> str:
        text = clean(" ".join(self.words)).replace("\n", " ") or "?"  # first: half a secret is none that is known
        return text if len(text) <= 60 else f"{text[:59]}…"


def processes(patient: Patient) -> Iterator[Finding]:
    """Agents and commands that nobody watches, orchestrators and dispatchers of what is not there any more."""
    running, found = _all(), []
    marks = {children.mark_of(patient.common_dir, build): build for build in _builds(patient)}
    for build, mine in _by_build(running, marks).items():
        dispatcher = is_held(patient.common_dir, "run", mine[0].environ.get("BR3_RUN", "?"))
        if not dispatcher and not patient.is_at_work(build):
            found.append(_unwatched(patient, build, mine))
    places = {str(tree.path): tree.path for tree in patient.linked}
    for process in running:
        mark = process.environ.get(children.MARK)
        if (
            mark
            and mark not in marks
            and process.environ.get("BR3_WORKTREE") in places
            and "BR3_BUILD" in process.environ
        ):
            where = process.environ["BR3_WORKTREE"]
            said = f"{process.command} (pid {process.pid}) runs in {where} since before the repository was moved"
            found.append(Finding("processes", False, said, f"kill {process.pid}"))
        found += _of_br3(patient, process)
    yield from found
    if not found:
        yield Finding("processes", True, "none is left over")


def _builds(patient: Patient) -> set[str]:
    known = {build for run in patient.runs.values() for build in run.builds}
    return (
        known | set(patient.build_of.values()) | {build.id for build in (patient.plan.builds if patient.plan else ())}
    )


def _by_build(running: list[_Process], marks: dict[str, str]) -> dict[str, list[_Process]]:
    found: dict[str, list[_Process]] = {}
    for process in running:
        build = marks.get(process.environ.get(children.MARK, ""))
        if build is not None:
            found.setdefault(build, []).append(process)
    return found


def _unwatched(patient: Patient, build: str, mine: list[_Process]) -> Finding:
    run = mine[0].environ.get("BR3_RUN", "?")
    pids = " ".join(str(process.pid) for process in mine)
    said = f"{build}: nobody watches {mine[0].command} (pid {pids}) of run {run}"
    view = patient.runs[run].builds.get(build) if run in patient.runs else None
    if patient.is_unfinished(run) and view is not None and not view.ended:
        return Finding("processes", False, said, "br3 run adopts it")
    return Finding("processes", False, said, f"kill {pids}", mend=lambda: _end(patient, build))


def _end(patient: Patient, build: str) -> str:
    with Lock(patient.common_dir, "build", build).acquire():
        ended = children.end_marked(children.mark_of(patient.common_dir, build))
    return f"{len(ended)} processes of {build} are ended"


def _of_br3(patient: Patient, process: _Process) -> Iterator[Finding]:
    """An orchestrator or a detached dispatcher of this repository whose run is not there any more."""
    module = next((word for word in process.words if word in _COMMANDS), None)
    if module is None:
        return
    where, *rest = process.words[process.words.index(module) + 1 :]
    if where not in (str(patient.common_dir), str(patient.repository.home)) or not rest:
        return
    if not (patient.repository.br3_dir / "runs" / rest[0]).is_dir():
        said = f"the {_COMMANDS[module]} (pid {process.pid}) works on run {rest[0]}, of which nothing is left"
        yield Finding("processes", False, said, f"kill {process.pid}")


def _all() -> list[_Process]:
    """The processes that we may look into; not this one, nor those that it was called from."""
    import os

    import psutil

    spared = {os.getpid()}
    try:
        spared |= {parent.pid for parent in psutil.Process().parents()}
    except psutil.Error:
        pass  # one of them ends at this moment
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(_Process(process.pid, tuple(process.cmdline()), process.environ()))
        except (psutil.Error, OSError):
            continue  # gone, or somebody else's
    return found
