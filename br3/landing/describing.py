"""What a request says of a build: its tasks, how it was verified, what it cost and was to cost, and its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing
from br3.landing.boarding import passenger
from br3.telemetry import Event
from br3.wording import counted


def title_of(standing: Standing) -> str:
    """The first line of the build's message, else its title; one line."""
    build = standing.build
    return " ".join((build.message or build.title).strip().split("\n")[0].split()) or build.id


def text_of(session: Session, standing: Standing, addresses: Mapping[str, str]) -> str:
    """The request's text in Markdown, secrets redacted; ``addresses`` are those of requests for other builds."""
    build = standing.build
    parts = [
        (build.message or "").strip().partition("\n")[2].strip(),
        _section("Tasks", _tasks(standing)),
        _section("Verification", _verification(standing)),
        _section("Cost", _cost(session, standing)),
        _section("Order", _order(session, standing, addresses)),
        "\n".join(f"{key}: {value}" for key, value in passenger(session, standing).trailers.items()),
    ]
    return session.journal.redact("\n\n".join(part for part in parts if part) + "\n")


def _section(heading: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f"### {heading}\n\n{body}" if body else ""


def _tasks(standing: Standing) -> Iterator[str]:
    tasks = standing.build.tasks
    if len(tasks) == 1 and tasks[0].title == standing.build.title:
        return
    for task in tasks:
        view = standing.view.tasks.get(task.id)
        attempts = len(view.attempts) if view else 0
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        yield f"- {task.id}: {task.title}{tried}" if task.title != task.id else f"- {task.id}{tried}"


def _verification(standing: Standing) -> Iterator[str]:
    verdict = standing.verdict
    if verdict is None or verdict.kind != "quality.passed":
        return
    facts = verdict.data
    tests, seen = facts.get("tests"), []
    if tests:
        others = [f"{tests[kind]} {kind}" for kind in ("failed", "skipped") if tests.get(kind)]
        seen.append(", ".join([f"{counted(tests['passed'], 'test')} passed", *others]))
    if facts.get("coverage") is not None:
        seen.append(f"coverage {facts['coverage']:g} %")
    yield f"Passed{': ' if seen else ''}{', '.join(seen)}, at tree {str(facts.get('tree'))[:12]}."
    yield ""
    for result in facts.get("results") or []:
        yield f"- {_code(result['run'])}: exit code {result['exit_code']}, {result['duration_s']:.1f} s"


def _cost(session: Session, standing: Standing) -> Iterator[str]:
    paid = "unknown" if standing.cost_usd is None else f"{standing.cost_usd:f} USD"
    tokens = "" if standing.tokens is None else f", {standing.tokens:,} tokens"
    models = f" ({', '.join(standing.models)})" if standing.models else ""
    yield f"- Paid: {paid}{tokens}{models}"
    made = estimate_of(session, standing.id)
    if made is not None:
        low, high = made.data.get("cost_p50_usd"), made.data.get("cost_p90_usd")
        money = f"{low} USD, at most {high} USD in nine of ten" if low and high else "cost unknown"
        minutes = f"{made.data['minutes_p50']:.0f} – {made.data['minutes_p90']:.0f} minutes"
        yield f"- Estimated: {money}; {minutes}; complexity {made.data['score']:g} ({made.data['level']})"


def estimate_of(session: Session, build: str) -> Event | None:
    """What was last estimated of a build, in this run or those that it continues."""
    runs = {run.id for run in session.chain}
    made = [e for e in session.events if e.kind == "estimate.made" and e.build == build and e.run in runs]
    return max(made, key=lambda e: e.order, default=None)


def _order(session: Session, standing: Standing, addresses: Mapping[str, str]) -> Iterator[str]:
    """What has to be merged before: its branch contains what it needs, and conflicts otherwise with what it follows."""
    build = standing.build
    for needed in build.needs:
        yield f"- Needs {_named(needed, addresses)}: its branch contains those commits; merge that one first."
    for earlier in build.after:
        if earlier not in build.needs:
            yield f"- Lands after {_named(earlier, addresses)}."
    for other in session.plan.builds:
        if build.id in other.needs:
            yield f"- {other.id} needs this one: merge it with a merge commit, not squashed or rebased."


def _named(build: str, addresses: Mapping[str, str]) -> str:
    return f"{build} ({addresses[build]})" if build in addresses else build


def _code(text: str) -> str:
    """Text as Markdown code on one line; the fence is longer than any within."""
    line = " ".join(text.split())
    fence = "`"
    while fence in line:
        fence += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"
