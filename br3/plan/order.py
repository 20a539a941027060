"""What starts and what lands before what: ``needs`` orders both, ``after`` the landing only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from br3.plan.model import Build, Plan

Edges = Mapping[str, Iterable[str]]
"""From a build's id to the ids that go before it. Ids that are not keys are passed over."""


def landing_order(plan: Plan) -> tuple[Build, ...]:
    """The builds so that each follows what it lands after or needs; otherwise as the plan has them."""
    before = {build.id: {*build.after, *build.needs} for build in plan.builds}
    waiting = list(plan.builds)
    ordered: list[Build] = []
    while waiting:
        open_ids = {build.id for build in waiting}
        ready = next((build for build in waiting if not before[build.id] & open_ids), None)
        if ready is None:
            raise ValueError("the plan's order has a cycle; a checked plan has none")
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def needs_closure(plan: Plan, build_id: str) -> tuple[str, ...]:
    """The ids of all builds that this one needs, directly or through others, in plan order."""
    reached = reachable({build.id: build.needs for build in plan.builds}, build_id)
    return tuple(build.id for build in plan.builds if build.id in reached)


def needed_by(plan: Plan, build_id: str) -> tuple[str, ...]:
    """The ids of all builds that need this one, directly or through others, in plan order."""
    edges = {build.id: build.needs for build in plan.builds}
    return tuple(build.id for build in plan.builds if build_id in reachable(edges, build.id))


def reachable(edges: Edges, start: str) -> set[str]:
    """Everything that can be reached from ``start`` in one step or more."""
    reached: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        here = ahead.pop()
        if here in edges and here not in reached:
            reached.add(here)
            ahead.extend(edges[here])
    return reached


def cycles(edges: Edges) -> list[tuple[str, ...]]:
    """The shortest cycle through each knot of ids that wait for one another, e.g. ``("a", "b", "a")``."""
    found: list[tuple[str, ...]] = []
    told: set[str] = set()
    for start in edges:
        if start not in told and start in reachable(edges, start):
            found.append(_shortest_way_back(edges, start))
            told |= {start} | {there for there in reachable(edges, start) if start in reachable(edges, there)}
    return found


def _shortest_way_back(edges: Edges, start: str) -> tuple[str, ...]:
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:
        for there in edges[way[-1]]:
            if there == start:
                return (*way, start)
            if there in edges and there not in seen:
                seen.add(there)
                ways.append((*way, there))
    raise ValueError(f"{start} is in no cycle")
