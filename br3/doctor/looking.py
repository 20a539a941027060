"""Goes through all that there is to look at, and mends what is safe to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from br3.analytics import inspecting
from br3.analytics.inspecting import Finding
from br3.doctor import agents, branches, keys, leftovers, machine, ownership, processes, records, worktrees
from br3.doctor.patient import Patient
from br3.doctor.saying import as_told, clean
from br3.errors import Br3Error
from br3.plan.model import Plan
from br3.repo.worktrees import Repository

_LOOKS: tuple[tuple[str, Callable[[Patient], Iterable[Finding]]], ...] = (
    ("git", machine.git),
    ("journal", lambda patient: inspecting.examine(patient.common_dir)),
    ("archive", records.archive),
    ("runs", records.newest_run),
    ("disk", machine.disk),
    ("clock", machine.clock),
    ("files", ownership.files),
    ("prices", agents.prices),
    ("hooks", agents.hooks),
    ("agents", agents.agents),
    ("keys", keys.keys),
    ("worktrees", worktrees.worktrees),
    ("branches", branches.branches),
    ("processes", processes.processes),
    ("locks", leftovers.locks),
    ("ports", leftovers.registry),
    ("requests", leftovers.requests),
)


@dataclass(frozen=True)
class Mended:
    """What was tried to be mended: what was found, and what was done, or why it could not be."""

    what: str
    said: str
    done: str | None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "said": self.said, "done": self.done, "error": self.error}


def examine(repository: Repository, plan: Plan | None, unsound: Br3Error | None = None) -> Iterator[Finding]:
    """What is found, in order, as it is found; ``plan`` is that of br3.toml, ``unsound`` why it cannot be read."""
    if unsound is not None:
        yield _for_others(Finding("plan", False, unsound.message, "br3 plan check"))
    patient = Patient(repository, plan)
    for what, look in _LOOKS:
        try:
            for found in look(patient):
                yield _for_others(found)
        except Exception as error:  # whatever a damaged record leads to: the others are looked at all the same
            said = as_told(error)
            yield _for_others(Finding(what, False, f"cannot be looked at: {said.message}", said.hint))


def mend(findings: Iterable[Finding]) -> Iterator[Mended]:
    """Mend those of the findings for which there is a safe way."""
    for found in findings:
        if found.mend is None:
            continue
        done = error = None
        try:
            done = clean(found.mend())
        except Exception as raised:  # the others are mended all the same
            error = clean(as_told(raised).message)
        yield Mended(found.what, clean(found.said), done, error)


def _for_others(found: Finding) -> Finding:
    return replace(found, said=clean(found.said), hint=clean(found.hint) if found.hint else found.hint)
