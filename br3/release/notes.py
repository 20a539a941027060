"""What is said of a release: the tag's message, and the section of the changelog."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from br3.release.changelog import Section
from br3.release.conventional import change_of
from br3.release.landed import Landed
from br3.wording import counted

Tests = Mapping[str, int] | None


def tag_message(message: str, base: str, landed: Sequence[Landed], before: Tests, after: Tests) -> str:
    """What the plan says, then what landed: titles, tasks, tests, models, costs."""
    lines = [message.strip(), ""]
    if landed:
        lines += [f"Landed on {base}:", ""]
    for build in landed:
        lines.append(f"- {build.id}: {build.title} ({_facts(build)})")
        lines += [f"    - {task} {title}" for task, title in build.tasks]
    if landed:
        lines += ["", *_totals(landed, before, after)]
    return "\n".join(lines).rstrip("\n") + "\n"


def section(
    version: str,
    tag: str,
    date: str,
    landed: Sequence[Landed],
    unlisted: Sequence[str],
    message: str,
    before: Tests,
    after: Tests,
) -> Section:
    """The changelog's section. ``unlisted`` are builds that wrote into the changelog themselves. ``date`` is ISO."""
    entries: dict[str, list[str]] = {}
    for build in landed:
        if build.id not in unlisted:
            mine = entries.setdefault(_heading(build), [])
            mine.append(f"- {_oneline(build.title)}")
            mine += [f"  - {_oneline(title)}" for _, title in build.tasks]
    closing = " ".join(f"{line}." for line in _totals(landed, before, after)) if landed else message.strip()
    order = ("Added", "Changed", "Fixed")
    return Section(version, tag, date, {name: entries[name] for name in order if name in entries}, closing)


def _heading(build: Landed) -> str:
    """Where Keep a Changelog has it, as far as the message or the title tell."""
    change = change_of(build.message) or change_of(build.title)
    if change in ("feature", "fix"):
        return "Added" if change == "feature" else "Fixed"
    return "Changed"


def _facts(build: Landed) -> str:
    tests = build.tests
    passed = f"{counted(tests['passed'], 'test')} passed, " if tests else ""
    models = f"{', '.join(build.models)}, " if build.models else ""
    return f"{passed}{models}cost {_usd(build.cost_usd)}"


def _totals(landed: Sequence[Landed], before: Tests, after: Tests) -> list[str]:
    models = dict.fromkeys(model for build in landed for model in build.models)
    known = [build.cost_usd for build in landed if build.cost_usd is not None]
    unknown = [build.id for build in landed if build.cost_usd is None]
    cost = _usd(sum(known, Decimal(0)) if known else None)
    if known and unknown:
        cost += f", without {', '.join(unknown)}, whose cost is unknown"
    lines = []
    if after:
        earlier = f"{before['passed']} passed before, " if before else ""
        lines.append(f"Tests: {earlier}{after['passed']} pass now")
    if models:
        lines.append(f"Models: {', '.join(models)}")
    return [*lines, f"Cost: {cost}"]


def _usd(amount: Decimal | None) -> str:
    """Dollars and cents; what is not known is no 0."""
    if amount is None:
        return "unknown"
    return f"${amount:.2f}" if not amount or amount >= Decimal("0.01") else "under $0.01"


def _oneline(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
