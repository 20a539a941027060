"""What is said of a build that was put aside: that it fails, on top of what, and which build it breaks with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from br3.dispatch.sessions import Session
from br3.landing.boarding import Aside
from br3.landing.searching import Candidate, Culprit, Decision
from br3.landing.testing import Testing, named, verification_of
from br3.orchestrator.verification import beside
from br3.plan.order import needs_closure
from br3.repo import refs, worktrees
from br3.wording import listed

_MEND = "in its worktree mend, commit"


def asides(culprits: Sequence[Culprit], testing: Testing, session: Session) -> Iterator[Aside]:
    """The culprits and what needs them, as far as the search has shown."""
    base = session.plan.base
    for culprit in culprits:
        below = culprit.candidate[:-1]
        refused = testing.conflicts.get(culprit.candidate)
        if refused is not None:
            yield Aside(
                culprit.id, refused.reason, refused.against, refused.files, cause="conflict", next=to_resolve(base)
            )
        else:
            tested = testing.last[culprit.candidate]
            where, mend = f"fails on top of {named(below, base)}", _to_mend(base)
            if not below:
                where, mend = _by_itself(culprit.id, testing, session)
            where = where if tested.runs else f"{where}, as before (br3 merge --again tests anew)"
            log = str(tested.log) if tested.log else None
            # Of several below it, any may be the one: ``pairs`` finds out.
            against = below if len(below) == 1 else ()
            yield Aside(culprit.id, f"{where}: {tested.reason}", against, log=log, cause="verification", next=mend)
        for dependent in culprit.dependents:
            yield Aside(dependent, f"it needs {culprit.id}, which was put aside", cause="needs")


def to_resolve(base: str) -> str:
    """What to do about a build that conflicts with what is on ``base``, or on the upstream that it is to land on."""
    return f"in its worktree git merge {base}, resolve, commit"


def _to_mend(base: str) -> str:
    return f"in its worktree git merge {base}, mend, commit"


def _by_itself(name: str, testing: Testing, session: Session) -> tuple[str, str]:
    """How one is told of that fails directly on base, and what to do about it.

    It has passed there, or it had not boarded: what is different here says where to look.
    """
    base, build, git = session.plan.base, session.plan.build(name), session.repository.git
    asked_there = verification_of(session, [build]).run == build.verify.run
    if not testing.contains_base(name):
        passed = "passes in its worktree, fails" if asked_there else "passes its own verification, fails the plan's"
        return f"{passed} on top of {base}", _to_mend(base)
    if not asked_there:
        return "passes its own verification, fails the plan's by itself", _MEND
    if refs.resolve(git, f"refs/heads/{build.branch}") != testing.tip(name):
        return f"fails on {base} by itself", _MEND
    files = _besides(session, name)
    there = f" (not committed there: {listed(files)})" if files else ""
    return (
        f"passes in its worktree, not in a clean checkout{there}",
        "in its worktree commit what a clean checkout lacks, or let a set-up command make it",
    )


def _besides(session: Session, name: str) -> list[str]:
    """What lies ignored in a build's worktree and in no clean checkout; nothing when the worktree is gone."""
    worktree = session.worktrees[name]
    if worktrees.git_dir(worktree) is None:
        return []
    left = (session.build_view(name).quality or {}).get("left") or {}
    return beside(worktree, session.plan.setup.copy, left)


def alone(decision: Decision, testing: Testing, session: Session) -> list[Candidate]:
    """What will be asked of culprits first, and of builds that failed once on top of what passes: each by itself."""
    fails = [culprit.candidate for culprit in decision.aside]
    fails += [want.candidate for want in decision.wants if want.confirm and testing.passes(want.candidate[:-1])]
    return [(*one[: _needed(one, session)], one[-1]) for one in fails if len(one) > 1 and one not in testing.conflicts]


def pairs(culprits: Sequence[Culprit], testing: Testing, session: Session) -> Iterator[Aside]:
    """For each culprit that failed on top of others: whether it passes alone, and the first build that it fails with.

    All of them at the same time. Rounds: for n builds below about log(n) to the base of ``window`` + 1.
    """
    searches = [
        _PairSearch(one, _needed(one.candidate, session), testing, session)
        for one in culprits
        if len(one.candidate) > 1 and one.candidate not in testing.conflicts
    ]
    while some := [search for search in searches if search.goes_on()]:
        share = max(1, testing.window // len(some))
        testing.test([candidate for search in some for candidate in search.wanted(share)])
    for search in searches:
        if not search.lost:
            yield search.told()


def _needed(candidate: Candidate, session: Session) -> int:
    """How many builds of the candidate its last one cannot be without, counted from below."""
    closure = needs_closure(session.plan, candidate[-1])
    return max((at + 1 for at, build in enumerate(candidate[:-1]) if build in closure), default=0)


class _PairSearch:
    """How many of the builds below a culprit suffice to make it fail: more than ``low``, at most ``high``."""

    def __init__(self, culprit: Culprit, alone: int, testing: Testing, session: Session) -> None:
        self.culprit, self.alone, self.testing, self.session = culprit, alone, testing, session
        self.low, self.high = alone - 1, len(culprit.candidate) - 1
        self.chosen: list[int] = []
        self.lost = False
        """A candidate for it cannot be made."""

    def with_below(self, length: int) -> Candidate:
        return (*self.culprit.candidate[:length], self.culprit.id)

    def goes_on(self) -> bool:
        """Take in what is known by now; whether there is more to find out."""
        for length in range(self.low + 1, self.high):
            candidate = self.with_below(length)
            if candidate in self.testing.conflicts:
                self.lost = True
            elif candidate in self.testing.known and not self.testing.passes(candidate):
                self.high = length
                break
            elif self.testing.passes(candidate):
                self.low = length
        return not self.lost and self.high - self.low > 1

    def wanted(self, share: int) -> list[Candidate]:
        """What to test, at most ``share``; what is under test stays among it as long as it is of use."""
        known = self.testing.known
        left = [n for n in self.chosen if self.low < n < self.high and self.with_below(n) not in known]
        if not left:
            step = max(1, (self.high - self.low) // (share + 1))
            # Alone first: whether it passes there is what people ask first.
            left = sorted({self.low + 1, *range(self.low + step, self.high, step)})
        self.chosen = left[:share]
        return [self.with_below(length) for length in self.chosen]

    def told(self) -> Aside:
        needed = self.culprit.candidate[: self.alone]
        tested = self.testing.last[self.with_below(self.high)]
        log = str(tested.log) if tested.log else None
        if self.high == self.alone:
            how, mend = f"fails with what it needs ({named(needed, '')})", _to_mend(self.session.plan.base)
            if not needed:
                how, mend = _by_itself(self.culprit.id, self.testing, self.session)
            return Aside(self.culprit.id, f"{how}: {tested.reason}", log=log, cause="verification", next=mend)
        other = self.culprit.candidate[self.high - 1]
        reason = f"passes alone, fails with {other}: {tested.reason}"
        return Aside(
            self.culprit.id, reason, (other,), log=log, cause="verification", next=_to_mend(self.session.plan.base)
        )
