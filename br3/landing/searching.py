"""Which candidates a train tests next: decided from what is known so far, and from nothing else.

A candidate is a tuple of builds, in landing order, stacked on base. *Prefix search* tests prefixes of the stack at the
same time, spread over it, the last being everything. The longest that passes is settled; what fails is split between
it and the first failure, until one build is left there: the culprit. It is tested once more, and when it fails again
it is put aside with what needs it, and the search goes on without it. *Window* tests the next few prefixes and goes on
behind each failure at once, which pays when many builds fail; *one by one* tests one prefix at a time.

Since a decision depends on verdicts alone, a train that was killed decides the same again and tests nothing twice.
The figures behind the constants are those of ``tests/bench/landing_simulation.py``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Candidate = tuple[str, ...]
"""Builds in the order in which they are stacked on base; ``()`` is base itself."""

Method = Literal["prefix", "window", "one-by-one"]

_FIRST_GAP = 2
_GAP = 3
"""Builds between two tested prefixes, at least: closer ones would rather cost test runs than save time."""

_WINDOW_PAYS = 0.68

_GUESSED = 2
"""Sections of at most so many builds have their culprit guessed while it is still searched for."""


@dataclass(frozen=True)
class Known:
    """How often a candidate has passed and failed."""

    passed: int = 0
    failed: int = 0


class Verdicts:
    """What is known of candidates, as a tree: a candidate is a path up from base.

    So one walk along a stack meets all of its prefixes; a thousand builds are decided about in milliseconds.
    """

    def __init__(self) -> None:
        self._base = _Node()

    def __contains__(self, candidate: Candidate) -> bool:
        return self.get(candidate) is not None

    def __getitem__(self, candidate: Candidate) -> Known:
        known = self.get(candidate)
        if known is None:
            raise KeyError(candidate)
        return known

    def __setitem__(self, candidate: Candidate, known: Known) -> None:
        path = [self._base]
        for build in candidate:
            path.append(path[-1].above.setdefault(build, _Node()))
        more = (known.passed > 0) - path[-1].passes
        path[-1].known = known
        for node in path:
            node.greens += more

    def get(self, candidate: Candidate) -> Known | None:
        node = self._base
        for build in candidate:
            if build not in node.above:
                return None
            node = node.above[build]
        return node.known

    def base(self) -> _Node:
        """Where every walk begins."""
        return self._base


class _Node:
    """A candidate on the way to known ones: ``greens`` counts those that pass, from this one up."""

    __slots__ = ("above", "greens", "known")

    def __init__(self) -> None:
        self.known: Known | None = None
        self.above: dict[str, _Node] = {}
        self.greens = 0

    @property
    def passes(self) -> bool:
        return self.known is not None and self.known.passed > 0

    @property
    def fails(self) -> bool:
        return self.known is not None and not self.known.passed and self.known.failed > 0


@dataclass(frozen=True)
class Want:
    """A candidate to test; ``confirm``: it has failed once. ``assumed`` are builds taken for culprits, which they are
    not known to be yet: the verdict counts only if they are."""

    candidate: Candidate
    confirm: bool = False
    assumed: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Candidate, bool]:
        return self.candidate, self.confirm


@dataclass(frozen=True)
class Culprit:
    """A build that fails on top of what passes: ``candidate`` ends with it. ``dependents`` need it, and go with it."""

    id: str
    candidate: Candidate
    dependents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """``settled`` is the longest candidate that can land so far, ``aside`` the culprits known for sure.

    ``needs_later`` failed and pass inside a longer one. ``done``: there is nothing left to test; ``base_fails``: base
    itself does not pass, so no build is to blame.
    """

    settled: Candidate
    aside: tuple[Culprit, ...]
    wants: tuple[Want, ...]
    needs_later: tuple[Candidate, ...] = ()
    base_fails: bool = False

    @property
    def done(self) -> bool:
        return not self.wants


def decide(
    order: Sequence[str],
    known: Verdicts,
    *,
    window: int,
    needs: Mapping[str, Collection[str]] | None = None,
    running: Collection[tuple[Candidate, bool]] = (),
    method: Method = "prefix",
) -> Decision:
    """What to test now, most urgent first, at most ``window`` candidates; what runs and is still of use is among them.

    ``needs``: from a build to all builds that it cannot land without. ``running``: the keys of wants under test.
    """
    search = _Search(tuple(order), known, 1 if method == "one-by-one" else window, needs or {}, running)
    return search.by_prefixes() if method == "prefix" else search.by_window()


def window_pays_from(builds: int, window: int) -> float:
    """The part of the builds that must fail for a sliding window to take less time than prefixes do.

    A culprit costs prefixes a few rounds, the more the longer the train; a window goes on for so much longer as fewer
    are tested at once. Fitted to the simulation (docs/LANDING.md), where it is off by a fifth at most.
    """
    return _WINDOW_PAYS / max(window, math.log2(max(2, builds)))


class _Search:
    def __init__(
        self,
        order: Candidate,
        known: Verdicts,
        window: int,
        needs: Mapping[str, Collection[str]],
        running: Collection[tuple[Candidate, bool]],
    ) -> None:
        self.order = order
        self.stack = list(order)
        self.known = known
        self.window = window
        self.needs = needs
        self.running = set(running)
        self.wants: dict[tuple[Candidate, bool], Want] = {}
        self.culprits: list[Culprit] = []
        self.assumed: list[str] = []
        self.first_fails = 0
        """Culprits that failed directly on base."""
        self.green = 0
        """The length of the longest prefix of the stack that passes; ``top`` is that prefix."""
        self.top: _Node = known.base()
        self.red: int | None = None
        """The length of the first prefix that fails above it."""
        self.settled: Candidate = ()

    def by_prefixes(self) -> Decision:
        while True:
            self._walk()
            last = len(self.stack)
            if self.green == last:
                break
            if self.red is None:
                gap = _FIRST_GAP if last == len(self.order) else _GAP
                self._want_between(last, -(-(last - self.green) // gap), whole=True)
                break
            if self.red - self.green > 1:
                self._keep_running(self._prefix(last))
                self._want_between(self.red, self.red - self.green - 1, whole=False)
                self._guess(self.red)
                break
            self._put_aside()
        return self._decision()

    def by_window(self) -> Decision:
        while True:
            self._walk()
            if self.red != self.green + 1:
                break
            self._put_aside()
        below, node = self.stack[: self.green], self.top
        without: list[str] = []
        for build in self.stack[self.green :]:
            if len(self.wants) >= self.window:
                break
            above = node.above.get(build, _Node())
            if above.fails or any(needed in without for needed in self.needs.get(build, ())):
                without.append(build)  # as far as one can tell before what is below has passed
                continue
            below.append(build)
            node = above
            if not node.passes:
                self._want(tuple(below), also=tuple(without))
        return self._decision()

    def _walk(self) -> None:
        """Find ``green`` and ``red``. What passed below stays: only what is above it has changed."""
        node, length, self.red = self.top, self.green, None
        while length < len(self.stack) and (self.red is None or node.greens):
            above = node.above.get(self.stack[length])
            if above is None:
                break
            node, length = above, length + 1
            if node.passes:
                self.top, self.green, self.red = node, length, None
            elif node.fails and self.red is None:
                self.red = length
        if not self.assumed:
            self.settled = self._prefix(self.green)

    def _prefix(self, length: int) -> Candidate:
        return tuple(self.stack[:length])

    def _want(self, candidate: Candidate, *, confirm: bool = False, also: tuple[str, ...] = ()) -> None:
        want = Want(candidate, confirm, (*self.assumed, *also))
        if len(self.wants) < self.window:
            self.wants.setdefault(want.key, want)

    def _keep_running(self, candidate: Candidate) -> bool:
        """What fails as a part may pass as a whole: the whole is not stopped. Whether it runs."""
        runs = (candidate, False) in self.running
        if runs:
            self._want(candidate)
        return runs

    def _want_between(self, high: int, most: int, *, whole: bool) -> None:
        """Prefixes spread between what passes and an upper length, that one itself when ``whole``."""
        low, highest = self.green, high if whole else high - 1
        chosen = {
            len(candidate)
            for candidate, confirm in self.running
            if not confirm and low < len(candidate) <= highest and candidate == self._prefix(len(candidate))
        }
        if not chosen:
            count = min(self.window - len(self.wants), most)
            parts = count if whole else count + 1
            chosen = {low + max(1, round((high - low) * n / parts)) for n in range(1, count + 1)}
        for length in sorted(chosen, reverse=True):
            self._want(self._prefix(length))

    def _guess(self, red: int) -> None:
        if red - self.green > _GUESSED:
            return
        if self.known[self._prefix(red)].failed < 2:
            self._want(self._prefix(red), confirm=True)
        for build in reversed(self.stack[self.green : red]):
            gone = {build, *self._dependents(build)}
            rest = tuple(other for other in self.stack if other not in gone)
            if rest not in self.known:
                self._want(rest, also=(build,))

    def _put_aside(self) -> None:
        """The build on top of what passes fails."""
        build, candidate = self.stack[self.green], self._prefix(self.green + 1)
        dependents = self._dependents(build)
        self.first_fails += self.green == 0
        confirmed = self.known[candidate].failed > 1
        if not confirmed:
            self._want(candidate, confirm=True)
        # What fails is often quicker than what passes: the whole may pass yet.
        open_yet = self._keep_running(self._prefix(len(self.stack)))
        if confirmed and not open_yet and not self.assumed:
            self.culprits.append(Culprit(build, candidate, dependents))
        else:
            self.assumed.append(build)  # maybe on top of something that may turn out to pass
        if self.first_fails > 1 and not self.green:
            self._look_at_base()
        for other in (build, *dependents):
            self.stack.remove(other)

    def _look_at_base(self) -> None:
        """One culprit after the other: is it base that fails?"""
        seen = self.known.get(()) or Known()
        if not seen.passed and seen.failed < 2:
            self._want((), confirm=seen.failed == 1)

    def _dependents(self, build: str) -> tuple[str, ...]:
        if not self.needs:
            return ()
        return tuple(other for other in self.stack if other != build and build in self.needs.get(other, ()))

    def _decision(self) -> Decision:
        if not self.settled and not self.wants and self.culprits:
            self._look_at_base()
        later = self._fail_below(self.settled)
        if self.wants:  # not for its own sake: only beside something else
            for candidate in later:
                if self.known[candidate].failed < 2:
                    self._want(candidate, confirm=True)
        base = self.known.get(()) or Known()
        base_fails = not self.settled and not base.passed and base.failed > 1
        if base_fails:
            return Decision((), (), (), base_fails=True)
        return Decision(self.settled, tuple(self.culprits), tuple(self.wants.values()), later)

    def _fail_below(self, settled: Candidate) -> tuple[Candidate, ...]:
        """The prefixes of what is settled that fail."""
        found, node = [], self.known.base()
        for length, build in enumerate(settled, start=1):
            node = node.above[build]
            if node.fails:
                found.append(settled[:length])
        return tuple(found)
