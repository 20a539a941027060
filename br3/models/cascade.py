"""Which model begins: cheap first and the verification decides, or strong at once. Pure arithmetic on what is known.

Cheap first costs ``cheap + (1 - P(accepted)) · strong``, so it pays only where ``cheap < P(accepted) · strong``. Two
things are told from experience: how often a tier's work of that kind is accepted (a Beta posterior), and how much
cheaper the tasks are that the cheap model gets accepted: hard ones cost both models more, so what is saved on the
accepted ones is less than the strong model's average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Policy = Literal["cascade", "fixed", "best"]
"""``cascade``: cheap first where that pays · ``fixed``: the model that is named · ``best``: the strongest."""

MARGIN = 0.15
"""Share of the strong model's cost that must be saved before a detour is made: estimates are not exact."""

EASIER = 0.93
"""Cost of the tasks that a cheap model gets accepted, as a share of all tasks' (see docs/ROUTING.md)."""

_EXPERIENCE = 10.0  # runs' worth of prior in ``EASIER``


@dataclass(frozen=True)
class Beta:
    """What is believed of a chance: ``passed`` and ``failed`` are counts, those of a prior among them."""

    passed: float
    failed: float

    @property
    def mean(self) -> float:
        """The expected chance, between 0 and 1."""
        return self.passed / (self.passed + self.failed)

    def after(self, passed: int, failed: int) -> Beta:
        """The belief with so many more outcomes."""
        return Beta(self.passed + passed, self.failed + failed)


PRIORS: Mapping[str, Beta] = {
    "small": Beta(5.5, 4.5),
    "medium": Beta(6.5, 3.5),
    "large": Beta(7.3, 2.7),
}
"""Per tier, worth ten runs: how often an attempt's work was accepted (docs/ROUTING.md says by whom)."""


@dataclass(frozen=True)
class Option:
    """A model that could do a task: what one attempt is expected to cost (USD), and how often its work is accepted.

    ``easier``: what the tasks that it gets accepted cost, as a share of all.
    """

    model: str
    cost_usd: float
    accepted: Beta
    easier: float = EASIER


@dataclass(frozen=True)
class Way:
    """Models in the order in which they are tried: what that is expected to cost (USD), and its chance of success."""

    models: tuple[str, ...]
    cost_usd: float
    chance: float


@dataclass(frozen=True)
class Decision:
    """``way`` is what to do, ``others`` what else was thought of, cheapest first; ``reason`` says why, for people."""

    way: Way
    reason: str
    others: tuple[Way, ...] = ()
    warning: str | None = None

    @property
    def model(self) -> str:
        """The model that begins."""
        return self.way.models[0]


def decide(
    options: Sequence[Option],
    *,
    policy: Policy = "cascade",
    risks: Sequence[str] = (),
    fixed: str | None = None,
    cost_limit_usd: float | None = None,
) -> Decision:
    """Choose among ``options`` (weakest first, at least one).

    ``risks`` are reasons for which the strongest begins; ``fixed`` is a model that somebody named: it is taken, with a
    warning where it looks wrong. With ``cost_limit_usd`` what is expected to cost more is left out, unless all is.
    """
    strongest = options[-1]
    ways = sorted((_way(order) for order in _orders(options)), key=lambda way: (way.cost_usd, -way.chance))
    direct = _way((strongest,))
    if fixed is not None:
        return _fixed(fixed, options, ways, risks)
    if policy == "best" or risks:
        why = f"it touches {', '.join(risks)}" if risks else "the plan asks for the best"
        return Decision(direct, f"{strongest.model} at once: {why}", _without(direct, ways))
    best = ways[0]
    if best != direct and best.cost_usd > direct.cost_usd * (1 - MARGIN):
        best = direct
    if cost_limit_usd is not None and best.cost_usd > cost_limit_usd:
        within = [way for way in (_way((option,)) for option in options) if way.cost_usd <= cost_limit_usd]
        if within:
            best = max(within, key=lambda way: way.chance)
            return Decision(best, f"{best.models[0]} alone: {_usd(cost_limit_usd)} allow no more", _without(best, ways))
    others = _without(best, ways)
    if best == direct:
        return Decision(direct, _why_direct(options, ways), others)
    first = options[[option.model for option in options].index(best.models[0])]
    saved = direct.cost_usd - best.cost_usd
    reason = (
        f"{first.model} first: {first.accepted.mean:.0%} of its work is accepted, and it costs {_usd(first.cost_usd)} "
        f"where {strongest.model} costs {_usd(strongest.cost_usd)}; {_usd(saved)} are saved on average"
    )
    return Decision(best, reason, others)


def easier_of(costs_accepted: Sequence[float], costs_all: Sequence[float]) -> float:
    """What a model's accepted attempts cost as a share of all its attempts, from own runs, shrunk to ``EASIER``."""
    if not costs_accepted or sum(costs_all) <= 0:
        return EASIER
    mean = (sum(costs_accepted) / len(costs_accepted)) / (sum(costs_all) / len(costs_all))
    weight = len(costs_accepted) / (len(costs_accepted) + _EXPERIENCE)
    return min(1.0, weight * mean + (1 - weight) * EASIER)


def _orders(options: Sequence[Option]) -> list[tuple[Option, ...]]:
    """Every way up that ends with the strongest: the chance of success in the end stays the same."""
    below = options[:-1]
    return [(*some, options[-1]) for count in range(len(below) + 1) for some in combinations(below, count)]


def _way(order: Sequence[Option]) -> Way:
    cost, failed = order[-1].cost_usd, 1 - order[-1].accepted.mean
    for option in reversed(order[:-1]):
        accepted = option.accepted.mean
        # What follows is spared on the tasks that are accepted, and those are the easier ones.
        cost = option.cost_usd + cost * (1 - accepted * option.easier)
        failed *= 1 - accepted
    return Way(tuple(option.model for option in order), cost, 1 - failed)


def _fixed(named: str, options: Sequence[Option], ways: Sequence[Way], risks: Sequence[str]) -> Decision:
    known = {option.model: option for option in options}
    option = known.get(named)
    if option is None:
        return Decision(Way((named,), 0.0, 0.0), f"{named}: it was named", tuple(ways), f"nothing is known of {named}")
    way, strongest = _way((option,)), options[-1]
    warning = None
    if risks and option is not strongest:
        warning = f"this touches {', '.join(risks)}, and {named} is not the strongest"
    elif option is strongest and ways[0].cost_usd < way.cost_usd * (1 - MARGIN):
        warning = (
            f"{' → '.join(ways[0].models)} is expected to cost {_usd(ways[0].cost_usd)}, {_usd(way.cost_usd)} this"
        )
    elif option.accepted.mean < 0.5:
        warning = f"only {option.accepted.mean:.0%} of the work of {named} is expected to be accepted"
    return Decision(way, f"{named}: it was named", _without(way, ways), warning)


def _without(chosen: Way, ways: Sequence[Way]) -> tuple[Way, ...]:
    return tuple(way for way in ways if way != chosen)


def _why_direct(options: Sequence[Option], ways: Sequence[Way]) -> str:
    strongest = options[-1]
    if len(options) == 1:
        return f"{strongest.model}: there is no other"
    first = options[-2]
    spared = first.accepted.mean * first.easier * strongest.cost_usd
    return (
        f"{strongest.model} at once: {first.model} first would cost {_usd(first.cost_usd)} to spare {_usd(spared)} on "
        "average"
    )


def _usd(amount: float) -> str:
    return f"{amount:.2f} USD"
