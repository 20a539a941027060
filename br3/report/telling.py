"""Facts in words, the same on a page and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from br3.report.facts import Attempt, Build, Check, Facts, Range, Spent, Task
from br3.report.wording import minutes, moment, seconds, usd
from br3.wording import counted

UNKNOWN = "unknown"
NOTHING = "–"
STATE_SIGNS = {
    "landed": "✓",
    "verified": "✓",
    "completed": "✓",
    "succeeded": "✓",
    "failed": "✗",
    "interrupted": "✗",
    "aside": "↷",
    "changed": "!",
    "skipped": "–",
    "cancelled": "–",
    "pending": "·",
    "created": "·",
}


def stated(state: str) -> str:
    """A state with its sign."""
    return f"{STATE_SIGNS.get(state, '▸')} {state}"


def headline(facts: Facts) -> str:
    """What came of it in one line."""
    landed = sum(build.landed for build in facts.builds)
    verified = sum(build.verified for build in facts.builds)
    of = counted(len(facts.builds), "build")
    if landed:
        said = f"{landed} of {of} landed on {facts.base}"
    elif verified:
        said = f"{verified} of {of} verified, none landed yet"
    else:
        said = f"{of}, none verified yet" if facts.going_on else f"{of}, none verified"
    all_of_it = {build.id for build in facts.builds if build.landed}
    tags = ", ".join(release.tag for release in facts.releases if landed and all_of_it.issubset(release.builds))
    return f"{said}, released as {tags}" if tags else said


def run_state(facts: Facts) -> str:
    """The run's state, and what that means for the reader of a report."""
    match facts.state:
        case "running":
            return "still at work: these are the figures of the moment above"
        case "interrupted":
            return "interrupted: nobody is at work on it (br3 run goes on)"
        case "paused" if not facts.reason:
            return "paused (br3 resume lets it go on)"
        case "created":
            return "prepared, not dispatched: done by hand"
        case state:
            return f"{state}{f': {facts.reason}' if facts.reason else ''}"


def span(facts: Facts) -> str:
    """From when to when."""
    if facts.began is None:
        return "not begun"
    until = facts.ended or facts.made_at
    took = seconds(max((until - facts.began).total_seconds(), 0.0))
    end = f"to {moment(facts.ended)} UTC" if facts.ended else "and not ended"
    return f"{moment(facts.began)} {end}, {took}"


def spent(amount: Spent) -> str:
    """What was paid, and how much of it is not known."""
    if amount.usd is None and not amount.unpriced_tokens:
        return UNKNOWN if amount.silent_attempts else "nothing yet"
    if amount.usd is None:
        return UNKNOWN
    return usd(amount.usd) if amount.whole else f"at least {usd(amount.usd)}"


def unknowns(amount: Spent) -> str:
    """Why the whole is not known; empty when it is."""
    why = []
    if amount.unpriced_tokens:
        why.append(f"{counted(amount.unpriced_tokens, 'token')} have no price")
    if amount.silent_attempts:
        number = amount.silent_attempts
        why.append(f"{counted(number, 'attempt')} did not say what {'it' if number == 1 else 'they'} took")
    return "; ".join(why)


def against_budget(facts: Facts) -> str:
    """How what was paid stands to the plan's budget."""
    if facts.budget_usd is None:
        return "no budget"
    paid = facts.spent.usd
    if paid is None:
        return f"of {usd(facts.budget_usd)}"
    least = "" if facts.spent.whole else "at least "
    share = f"{least}{float(paid / facts.budget_usd):.0%} of {usd(facts.budget_usd)}"
    return share if paid <= facts.budget_usd else f"{share}: over the budget"


def money(amount: Decimal | None, known: Decimal | None = None, *, begun: bool = True) -> str:
    """Dollars; where something was done that nobody knows the price of what is ``known``, else unknown."""
    if amount is not None:
        return usd(amount)
    if known is not None:
        return f"at least {usd(known)}"
    return UNKNOWN if begun else NOTHING


def build_cost(build: Build) -> str:
    """As ``br3 status`` has it."""
    return money(build.cost_usd, build.known_usd, begun=any(task.attempts for task in build.tasks))


def run_cost(run: Mapping[str, Any]) -> str:
    """As ``br3 runs`` has it."""
    begun = run.get("tokens") is not None or bool(run.get("selected"))
    cost, known = (None if (said := run.get(key)) is None else Decimal(said) for key in ("cost_usd", "known_usd"))
    return money(cost, known, begun=begun)


def build_tokens(build: Build) -> str:
    return NOTHING if build.tokens is None else f"{build.tokens:,}"


def build_tests(build: Build) -> str:
    """What the last verification counted, with what it had to show."""
    if not build.tests:
        return NOTHING
    return counts(build.tests)


def counts(tests: Mapping[str, Any]) -> str:
    """12 passed, 1 failed, 2 skipped."""
    others = [f"{tests[kind]} {kind}" for kind in ("failed", "skipped") if tests.get(kind)]
    return ", ".join([f"{tests.get('passed', 0)} passed", *others])


def wanted(build: Build) -> str:
    """What its verification had to show beside exit codes."""
    said = []
    if build.min_passed is not None:
        said.append(f"at least {counted(build.min_passed, 'test')}")
    if build.min_coverage is not None:
        said.append(f"at least {build.min_coverage:g} % coverage")
    return ", ".join(said)


def build_tasks(build: Build) -> str:
    """3/4, 1 skipped, 2 repairs."""
    planned = [task for task in build.tasks if task.planned]
    done = sum(task.state == "completed" for task in planned)
    said = f"{done}/{len(planned)}"
    left_out = sum(task.state == "skipped" for task in build.tasks)
    repairs = sum(task.attempts for task in build.tasks if not task.planned)
    said += f", {left_out} skipped" if left_out else ""
    return said + (f", {counted(repairs, 'repair')}" if repairs else "")


def build_time(build: Build) -> str:
    """From its beginning to its end, pauses included."""
    if build.began is None or build.ended is None:
        return NOTHING
    return seconds(max((build.ended - build.began).total_seconds(), 0.0))


def estimate_usd(found: Range | None) -> str:
    return NOTHING if found is None else f"{found.p50:.2f} – {found.p90:.2f} USD"


def estimate_minutes(found: Range | None) -> str:
    return NOTHING if found is None else f"{minutes(found.p50)} – {minutes(found.p90)}"


def planned_time(value: float | None) -> str:
    return NOTHING if value is None else minutes(value)


def task_state(task: Task) -> str:
    return f"{stated(task.state)}{' in an earlier run' if task.carried else ''}"


def attempt_state(attempt: Attempt) -> str:
    """How it went; a failed one with its cause."""
    cause = f" ({attempt.cause})" if attempt.cause else ""
    return f"{stated(attempt.state)}{cause}"


def check_sign(check: Check) -> str:
    return {True: "✓", False: "✗", None: "?"}[check.met]


def check_seen(check: Check) -> str:
    """What was seen, and when."""
    return "not looked at yet: br3 finish does" if check.at is None else f"{check.seen} ({moment(check.at)})"


def whys(build: Build) -> Iterator[str]:
    """What a reader of a table of builds needs to know of one."""
    if build.reason and build.state in ("failed", "skipped", "cancelled", "interrupted"):
        yield build.reason.strip()
    if build.aside:
        yield f"put aside by the last merge: {build.aside}"
    if build.request and not build.landed:
        yield f"request {build.request}"
    yield from build.notes


def accuracy(coverage_p90: float | None, factor: float | None) -> str:
    """How good the estimates of a unit were."""
    if coverage_p90 is None or factor is None:
        return ""
    return f"{coverage_p90:.0%} took at most their P90; half of them are within a factor of {factor:.2f} of their P50"
