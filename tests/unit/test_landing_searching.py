"""What a train tests next: properties of ``decide`` over trains whose truth is made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.landing.searching import Candidate, Decision, Known, Method, Verdicts, Want, decide, window_pays_from

METHODS: tuple[Method, ...] = ("prefix", "window", "one-by-one")
Key = tuple[Candidate, bool]


@dataclass(frozen=True)
class World:
    """A train and the truth about it.

    ``later``: a build that passes only with another one, further up. ``conflicts``: pairs that cannot be stacked.
    ``flaky``: candidates that fail when they are tested for the first time although they pass.
    """

    order: Candidate
    bad: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()
    needs: dict[str, frozenset[str]] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    conflicts: frozenset[tuple[str, str]] = frozenset()
    flaky: frozenset[int] = frozenset()
    base_fails: bool = False
    window: int = 4
    method: Method = "prefix"

    def passes(self, candidate: Candidate) -> bool:
        inside = set(candidate)
        return not (
            self.base_fails
            or inside & self.bad
            or any(inside.issuperset(pair) for pair in self.pairs)
            or any(build in inside and other not in inside for build, other in self.later.items())
        )

    def conflicting(self, candidate: Candidate) -> bool:
        return any(set(candidate).issuperset(pair) for pair in self.conflicts)

    def unsteady(self, candidate: Candidate) -> bool:
        return sum(int(build[1:]) + 1 for build in candidate) % 7 in self.flaky


@st.composite
def worlds(draw: st.DrawFn, *, clean: bool = False, steady: bool = False) -> World:
    order = tuple(f"b{number}" for number in range(draw(st.integers(1, 12))))
    window, method = draw(st.integers(1, 6)), draw(st.sampled_from(METHODS))
    needs: dict[str, frozenset[str]] = {}
    for at, build in enumerate(order):
        direct = draw(st.sets(st.sampled_from(order[:at]), max_size=2)) if at and draw(st.booleans()) else set()
        needs[build] = frozenset(direct).union(*(needs[one] for one in direct))
    if clean:
        return World(order, needs=needs, window=window, method=method)
    some = st.frozensets(st.sampled_from(order), max_size=4)
    couples = [(a, b) for at, a in enumerate(order) for b in order[at + 1 :]]
    pairs = st.frozensets(st.sampled_from(couples), max_size=3) if couples else st.just(frozenset())
    return World(
        order,
        bad=draw(some),
        pairs=draw(pairs),
        needs=needs,
        later={} if steady else {a: b for a, b in draw(pairs) if a not in needs[b]},
        conflicts=draw(pairs),
        flaky=frozenset() if steady else draw(st.frozensets(st.integers(0, 6), max_size=2)),
        base_fails=draw(st.integers(0, 9)) == 0,
        window=window,
        method=method,
    )


class Train:
    """A train that is decided about; verdicts come in the order that ``pick`` gives, several rounds long."""

    def __init__(self, world: World, known: dict[Candidate, Known] | None = None) -> None:
        self.world = world
        self.known: dict[Candidate, Known] = dict(known or {})
        self.tree = Verdicts()
        for candidate, seen in self.known.items():
            self.tree[candidate] = seen
        self.running: list[Key] = []
        self.asked: list[Key] = []

    def decide(self) -> Decision:
        world = self.world
        return decide(
            world.order,
            self.tree,
            window=world.window,
            needs=world.needs,
            running=self.running,
            method=world.method,
        )

    def step(self, pick: Callable[[list[Key]], Key]) -> Decision:
        """One decision and one verdict; the decision is checked on the way."""
        decision = self.decide()
        if not decision.done:
            self._check(decision.wants)
            self.asked += [want.key for want in decision.wants if want.key not in self.running]
            self.running = [want.key for want in decision.wants]
            self.answer(pick(self.running))
        return decision

    def answer(self, key: Key) -> None:
        candidate, confirm = key
        self.running.remove(key)
        seen = self.known.get(candidate, Known())
        if self.world.conflicting(candidate):
            seen = Known(failed=2)
        else:
            passed = self.world.passes(candidate) and (confirm or not self.world.unsteady(candidate))
            seen = Known(seen.passed + passed, seen.failed + (not passed))
        self.known[candidate] = self.tree[candidate] = seen

    def settle(self, pick: Callable[[list[Key]], Key] = lambda keys: keys[0]) -> Decision:
        for _ in range(40 * (len(self.world.order) + 1)):
            decision = self.step(pick)
            if decision.done:
                return decision
        raise AssertionError("it does not end")

    def _check(self, wants: tuple[Want, ...]) -> None:
        world = self.world
        assert 1 <= len(wants) <= (1 if world.method == "one-by-one" else world.window)
        assert len({want.key for want in wants}) == len(wants)
        for want in wants:
            seen = self.known.get(want.candidate)
            assert (seen is None) if not want.confirm else (seen is not None and (seen.passed, seen.failed) == (0, 1))
            _check_shape(world, want.candidate)


def _check_shape(world: World, candidate: Candidate) -> None:
    """In the train's order, and without a build lacking what it needs."""
    assert list(candidate) == [build for build in world.order if build in candidate]
    assert all(world.needs.get(build, frozenset()) <= set(candidate) for build in candidate)


def picking(seed: int) -> Callable[[list[Key]], Key]:
    return random.Random(seed).choice


def end_of(decision: Decision) -> tuple[Candidate, tuple[tuple[str, tuple[str, ...]], ...], bool]:
    return decision.settled, tuple((one.id, one.dependents) for one in decision.aside), decision.base_fails


@settings(max_examples=400, deadline=None)
@given(worlds(), st.integers())
def test_a_search_ends_and_what_it_ends_with_is_true(world: World, seed: int) -> None:
    train = Train(world)
    decision = train.settle(picking(seed))
    _check_shape(world, decision.settled)
    if decision.settled:
        assert train.known[decision.settled].passed
        assert world.passes(decision.settled) and not world.conflicting(decision.settled)
    gone = {build for one in decision.aside for build in (one.id, *one.dependents)}
    if not decision.base_fails:
        assert set(decision.settled) | gone == set(world.order)
    assert not gone & set(decision.settled)
    for one in decision.aside:
        assert one.candidate[-1] == one.id
        seen = train.known[one.candidate]
        assert (seen.passed, seen.failed) == (0, 2)
        assert not world.passes(one.candidate) or world.conflicting(one.candidate)
        below = one.candidate[:-1]
        assert not below or train.known[below].passed
        assert all(one.id in world.needs[other] for other in one.dependents)
    for candidate in decision.needs_later:
        assert not train.known[candidate].passed and decision.settled[: len(candidate)] == candidate


@settings(max_examples=300, deadline=None)
@given(worlds(steady=True), st.integers(), st.integers())
def test_the_order_in_which_verdicts_arrive_does_not_matter(world: World, one: int, other: int) -> None:
    assert end_of(Train(world).settle(picking(one))) == end_of(Train(world).settle(picking(other)))


@settings(max_examples=300, deadline=None)
@given(worlds(steady=True), st.integers(), st.integers(0, 30))
def test_a_search_that_starts_again_ends_the_same_and_asks_for_nothing_it_knows(
    world: World, seed: int, after: int
) -> None:
    whole = end_of(Train(world).settle(picking(seed)))
    first = Train(world)
    for _ in range(after):
        if first.step(picking(seed)).done:
            break
    again = Train(world, first.known)  # what ran is lost, what is known is not
    assert end_of(again.settle(picking(seed))) == whole
    answered = {(c, False) for c in first.known} | {(c, True) for c, seen in first.known.items() if seen.failed > 1}
    assert not answered & set(again.asked)


@settings(max_examples=100, deadline=None)
@given(worlds(clean=True))
def test_where_nothing_fails_all_of_it_settles_in_one_round(world: World) -> None:
    train = Train(world)
    first = train.decide()
    if world.method == "prefix":
        assert first.wants[0].candidate == world.order
    train.running = [want.key for want in first.wants]
    for want in first.wants:
        train.answer(want.key)
    settled = train.decide().settled
    assert settled == max((want.candidate for want in first.wants), key=len)
    assert (settled == world.order) == (world.method == "prefix" or len(first.wants) == len(world.order))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers())
def test_one_build_to_blame_is_found_whatever_the_method(world: World, seed: int) -> None:
    bad = world.order[seed % len(world.order)]
    alone = World(world.order, bad=frozenset({bad}), needs=world.needs, window=world.window, method=world.method)
    decision = Train(alone).settle(picking(seed))
    assert [one.id for one in decision.aside] == [bad]
    assert set(decision.aside[0].dependents) == {b for b in world.order if bad in world.needs.get(b, ())}


def test_a_whole_that_passes_settles_what_failed_below_it() -> None:
    train = Train(World(("b0", "b1", "b2", "b3"), later={"b1": "b2"}))
    whole = (train.world.order, False)
    # Failing is quick: the part fails, and fails again, long before the whole passes.
    decision = train.decide()
    while not decision.done:
        assert not decision.aside
        decision = train.step(lambda keys: next((key for key in keys if key != whole), whole))
    assert decision.settled == train.world.order
    assert ("b0", "b1") in decision.needs_later
    assert not decision.aside


def test_base_that_fails_is_told_from_builds_that_do() -> None:
    for method in METHODS:
        train = Train(World(("b0", "b1", "b2", "b3", "b4"), base_fails=True, method=method))
        decision = train.settle()
        assert decision.base_fails and not decision.settled
        assert (train.known[()].passed, train.known[()].failed) == (0, 2)


def test_builds_that_all_fail_are_to_blame_when_base_passes() -> None:
    train = Train(World(("b0", "b1"), bad=frozenset({"b0", "b1"})))
    decision = train.settle()
    assert not decision.base_fails
    assert [one.id for one in decision.aside] == ["b0", "b1"]


def test_what_fails_once_and_passes_then_is_settled() -> None:
    train = Train(World(("b0",), flaky=frozenset({1})))
    assert train.settle().settled == ("b0",)
    assert train.asked == [(("b0",), False), (("b0",), True)]


def test_a_speculative_candidate_says_what_it_takes_for_a_culprit() -> None:
    train = Train(World(("b0", "b1", "b2"), bad=frozenset({"b0"}), window=4))
    for key in ((("b0", "b1", "b2"), False), (("b0", "b1"), False), (("b0",), False)):
        train.tree[key[0]] = Known(failed=1)
    confirm, *guesses = train.decide().wants
    assert (confirm.candidate, confirm.confirm, confirm.assumed) == (("b0",), True, ())
    assert guesses and all(guess.assumed[:1] == ("b0",) and "b0" not in guess.candidate for guess in guesses)
    assert train.decide().settled == ()
    train.tree[("b1", "b2")] = Known(passed=1)
    assert train.decide().settled == ()  # it counts only when b0 has failed again
    train.tree[("b0",)] = Known(failed=2)
    assert train.decide().settled == ("b1", "b2")


def test_a_round_that_goes_on_is_not_thrown_away() -> None:
    order = tuple(f"b{number}" for number in range(16))
    train = Train(World(order, bad=frozenset({"b9"})))
    first = train.decide()
    assert [len(want.candidate) for want in first.wants] == [16, 12, 8, 4]
    train.running = [want.key for want in first.wants]
    train.answer((order[:12], False))
    kept = [want.key for want in train.decide().wants]
    assert (order, False) in kept and (order[:8], False) in kept and (order[:4], False) in kept


def test_where_many_fail_or_many_are_tested_at_once_a_window_pays_sooner() -> None:
    assert window_pays_from(16, 8) < window_pays_from(16, 4) < 0.2
    assert window_pays_from(256, 4) < window_pays_from(16, 4)
    assert window_pays_from(1, 1) > 0.5


class TestVerdicts:
    def test_it_holds_what_was_put_in(self) -> None:
        verdicts = Verdicts()
        verdicts[("a", "b")] = Known(failed=1)
        assert ("a",) not in verdicts and verdicts.get(("a",)) is None and verdicts.get(("x", "y")) is None
        assert verdicts[("a", "b")] == Known(failed=1)
        with pytest.raises(KeyError):
            verdicts[("a",)]

    def test_a_verdict_that_changes_is_seen_from_below(self) -> None:
        verdicts = Verdicts()
        order = ("a", "b", "c")
        verdicts[("a",)] = Known(failed=1)
        for passed in (0, 1):
            verdicts[order] = Known(passed=passed, failed=1)
            assert decide(order, verdicts, window=1).settled == (order if passed else ())
        verdicts[order] = Known(failed=2)
        assert decide(order, verdicts, window=1).settled == ()
