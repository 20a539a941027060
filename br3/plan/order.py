"""What starts and what lands before what: ``needs`` orders both, ``after`` the landing only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

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


def put_aside(
    plan: Plan, order: Sequence[str], conflicts: Collection[frozenset[str]], lost: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Of builds that land in this order those that would not, and which of the others stand against each.

    ``conflicts`` are pairs that do not merge, ``lost`` are builds that do not merge with base. Who needs one that does
    not land, does not land either; against it stands what it needs.
    """
    needs = {name: needs_closure(plan, name) for name in order}
    landed: list[str] = []
    aside: dict[str, tuple[str, ...]] = {}
    for name in order:
        against = tuple(needed for needed in needs[name] if needed in aside)
        against = against or tuple(other for other in landed if frozenset((name, other)) in conflicts)
        if against or name in lost:
            aside[name] = against
        else:
            landed.append(name)
    return aside


def order_of_fewest_conflicts(
    plan: Plan,
    conflicts: Collection[frozenset[str]],
    lost: Collection[str] = (),
    among: Collection[str] | None = None,
) -> list[str]:
    """The builds (or those ``among`` them) in an order of landing that puts few of them aside, never more than the
    plan's own.

    What conflicts with nothing goes first, then each time what keeps the fewest others from landing.
    """
    planned = [build.id for build in landing_order(plan) if among is None or build.id in among]
    greedy = _greedy(plan, planned, conflicts, set(lost))
    fewer = len(put_aside(plan, greedy, conflicts, lost)) <= len(put_aside(plan, planned, conflicts, lost))
    return greedy if fewer else planned


def _greedy(plan: Plan, planned: list[str], conflicts: Collection[frozenset[str]], gone: set[str]) -> list[str]:
    edges = {build.id: (*build.after, *build.needs) for build in plan.builds}
    before = {name: reachable(edges, name) & {*planned} for name in planned}
    dependents = {name: {*needed_by(plan, name)} & {*planned} for name in planned}
    against = {name: {other for other in planned if frozenset((name, other)) in conflicts} for name in planned}
    gone = gone.union(*(dependents[name] for name in planned if name in gone))
    order: list[str] = []

    def taken_along(name: str) -> set[str]:
        """What cannot land any more once ``name`` has."""
        met = against[name] - gone - {*order}
        return met.union(*(dependents[other] for other in met)) - gone

    def rank(name: str) -> tuple[int, int]:
        if name not in gone:
            return 1, len(taken_along(name))
        waited_for = any(name in before[other] for other in planned if other not in gone and other not in order)
        return (0 if waited_for else 2), 0

    while len(order) < len(planned):
        name = min((n for n in planned if n not in order and before[n] <= {*order}), key=rank)
        if name not in gone:
            gone |= taken_along(name)
        order.append(name)
    return order


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
