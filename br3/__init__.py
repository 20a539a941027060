"""br3: several coding agents at once, each in its own worktree, landed verified.

    from br3 import Workspace, run, land

Loads nothing by itself, so that hooks and the command line start at once: a name is looked up when it is first used.
"""

import sys

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from br3.api.estimating import Estimates, estimate
    from br3.api.figures import Analytics
    from br3.api.landing import land
    from br3.api.running import Outcome, run
    from br3.api.workspaces import Workspace
    from br3.plan.model import Plan
    from br3.telemetry.events import Event

__all__ = ["Analytics", "Estimates", "Event", "Outcome", "Plan", "Workspace", "estimate", "land", "run"]

_HOMES = {
    "Analytics": "br3.api.figures",
    "Estimates": "br3.api.estimating",
    "Event": "br3.telemetry.events",
    "Outcome": "br3.api.running",
    "Plan": "br3.plan.model",
    "Workspace": "br3.api.workspaces",
    "estimate": "br3.api.estimating",
    "land": "br3.api.landing",
    "run": "br3.api.running",
}


class _Package(type(sys)):  # type: ignore[misc]  # mypy knows no base that is computed
    """The package. ``br3.estimate`` is the function; the room of that name, once loaded, does not take its place."""

    def __getattr__(self, name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'br3' has no attribute {name!r}")
        __import__(home)
        found = getattr(sys.modules[home], name)
        setattr(self, name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, type(sys)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_HOMES})


sys.modules[__name__].__class__ = _Package
