"""What a dispatch tells while it goes on, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from br3.errors import OVER_BUDGET
from br3.telemetry import BuildView, Event


class Observer(Protocol):
    """Who watches a run."""

    def event(self, event: Event) -> None:
        """An event of the run was written."""

    def preparing(self, build: str, step: str) -> None:
        """A workspace is being made; called from several threads."""

    def waiting(self, build: str, why: str) -> None:
        """A build cannot start yet; told once for each reason."""

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        """Called in every round of the loop."""

    def doing(self, build: str, activity: str) -> None:
        """What the build's agent does just now; told when it is something else."""


class Quiet:
    """An observer that tells nobody."""

    def event(self, event: Event) -> None:
        pass

    def preparing(self, build: str, step: str) -> None:
        pass

    def waiting(self, build: str, why: str) -> None:
        pass

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        pass

    def doing(self, build: str, activity: str) -> None:
        pass


@dataclass
class Outcome:
    """How a dispatch ended. ``waiting`` are manual builds that a person still has to do."""

    state: str
    builds: dict[str, BuildView]
    waiting: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Per build what went well enough, but not quite."""
    interrupted: bool = False
    """Whether a signal ended it."""

    @property
    def exit_code(self) -> int:
        """0 all verified, 1 some build failed, 4 a budget was spent, 130 stopped."""
        if self.state == "cancelled":
            return 130
        if any(view.cause == "budget" for view in self.builds.values()):
            return OVER_BUDGET
        return 0 if self.state in ("completed", "paused") else 1
