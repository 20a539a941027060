"""All that is wrong with a br3.toml, at once and in line order; or the plan it makes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from br3.errors import UsageError
from br3.plan.checks import all_findings
from br3.plan.checks.raw import RawPlan, RawTable
from br3.plan.detection import on_path
from br3.plan.messages import plain
from br3.plan.model import Plan
from br3.plan.problems import Found, Problem, branches_here, did_you_mean
from br3.plan.resolving import resolve
from br3.plan.schema import PlanFile
from br3.plan.settings import Settings
from br3.plan.text import Source, Unreadable, place, read, said


@dataclass(frozen=True)
class Checked:
    """``plan`` is None exactly when there are problems. Warnings stop nobody."""

    plan: Plan | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check(
    path: Path,
    *,
    git_accepts_branch: Callable[[str], bool] | None = None,
    branches: Callable[[], Collection[str]] = tuple,
    settings: Settings | None = None,
    have: Callable[[str], bool] = on_path,
) -> Checked:
    """Check the plan at ``path``; UsageError when there is no such file.

    ``git_accepts_branch`` is asked only about names with unusual characters, ``branches`` for the local ones that there
    are (none: not known) only when nothing is wrong. ``settings`` is what is said outside the plan, nothing by default.
    ``have`` says which tools a detected set-up may use.
    """
    settings = settings or Settings()
    if not path.is_file():
        raise UsageError(f"there is no {said(path)}", hint="br3 init")
    try:
        source = read(path)
    except Unreadable as error:
        return Checked(None, (*settings.problems, error.problem))
    file, schema_findings = _parsed(source)
    raw = RawPlan(RawTable((), source.data), path.parent, settings, git_accepts_branch)
    findings = list(dict.fromkeys([*schema_findings, *all_findings(raw)]))
    problems = (*settings.problems, *place(source, [found for found in findings if not found.warning]))
    warnings = tuple(place(source, [found for found in findings if found.warning]))
    if problems or file is None:
        return Checked(None, problems, warnings)
    plan = resolve(file, path.parent, settings, have)
    known = branches()
    if known and plan.base not in known:
        near = did_you_mean(plan.base, known) or branches_here(known)
        gone = Found(("plan", "base"), f"there is no local branch {plan.base!r}", near, warning=True)
        warnings = (*warnings, *place(source, [gone]))
    return Checked(plan, (), warnings)


def _parsed(source: Source) -> tuple[PlanFile | None, list[Found]]:
    try:
        return PlanFile.model_validate(source.data), []
    except ValidationError as error:
        return None, list(plain(error, PlanFile))
