"""What the keys of a plan must mean together; one module per question, all of the same shape.

Each has ``check(plan: RawPlan) -> Iterator[Found]``. They look at the file as parsed, whatever its types, so
that they run together with the schema and a file's problems are all told at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from br3.plan.checks import identity, order, ownership, work
from br3.plan.checks.raw import RawPlan
from br3.plan.problems import Found


def all_findings(plan: RawPlan) -> Iterator[Found]:
    """What all checks find."""
    for module in (identity, order, ownership, work):
        yield from module.check(plan)
