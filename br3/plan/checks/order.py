"""Do ``after`` and ``needs`` name builds of this plan, and can they all be kept?"""

from __future__ import annotations

from collections.abc import Iterator

from br3.plan.checks.raw import RawPlan, RawTable, edges
from br3.plan.order import cycles
from br3.plan.problems import Found, did_you_mean, shown


def check(plan: RawPlan) -> Iterator[Found]:
    known = [build_id for build in plan.builds if (build_id := build.text("id"))]
    for build in plan.builds:
        yield from _references(build, known)
    for cycle in cycles(edges(plan.builds, "after", "needs")):
        build = next(build for build in plan.builds if build.text("id") == cycle[0])
        key = "needs" if cycle[1] in [other for _, other in build.texts("needs")] else "after"
        yield Found(build.at(key), f"the builds wait for each other: {' → '.join(cycle)}", "leave one of these out")


def _references(build: RawTable, known: list[str]) -> Iterator[Found]:
    for key in ("after", "needs"):
        for path, other in build.texts(key):
            if other == build.text("id"):
                yield Found(path, f"{shown(other)} cannot wait for itself")
            elif other not in known:
                yield Found(path, f"there is no build {shown(other)}", did_you_mean(other, known))
