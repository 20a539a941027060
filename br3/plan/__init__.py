"""The plan: br3.toml read, checked, resolved and frozen.

What this room promises:

- ``check`` reports every problem of a file at once, each with its line, its key and what to do about it.
- ``load`` gives a plan that needs no further looking up: prompt files read, defaults applied, every build
  verified by at least one command, no cycle in its order, no two builds owning the same file by accident.
- ``freeze`` and ``thaw`` keep that plan for a run; they and ``model`` need the standard library only, so an
  orchestrator never pays for pydantic.

Nothing here runs git or any other command. Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from br3.plan.checking import Checked as Checked
    from br3.plan.checking import check as check
    from br3.plan.detection import Detected as Detected
    from br3.plan.detection import detect as detect
    from br3.plan.frozen import Frozen as Frozen
    from br3.plan.frozen import differences as differences
    from br3.plan.frozen import freeze as freeze
    from br3.plan.frozen import thaw as thaw
    from br3.plan.loading import load as load
    from br3.plan.location import find as find
    from br3.plan.model import Build as Build
    from br3.plan.model import Plan as Plan
    from br3.plan.model import Task as Task
    from br3.plan.order import landing_order as landing_order
    from br3.plan.order import needed_by as needed_by
    from br3.plan.order import needs_closure as needs_closure
    from br3.plan.problems import PlanErrors as PlanErrors
    from br3.plan.problems import Problem as Problem

_HOMES = {
    "checking": ("Checked", "check"),
    "detection": ("Detected", "detect"),
    "frozen": ("Frozen", "differences", "freeze", "thaw"),
    "loading": ("load",),
    "location": ("find",),
    "model": ("Build", "Plan", "Task"),
    "order": ("landing_order", "needed_by", "needs_closure"),
    "problems": ("PlanErrors", "Problem"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
