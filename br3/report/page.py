"""A report as one self-contained page: no script, no font, no address from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources

from br3.report import drawing, telling
from br3.report.clock import Clock
from br3.report.facts import Build, Conflicts, Facts, Outcomes
from br3.report.markup import Content, Markup, el, joined, spans
from br3.report.wording import minutes, moment, seconds, usd
from br3.wording import counted

GENERATOR = "br3 report"
"""What a page says it was made by; a file that says so may be replaced."""

_BASE_MARKS = (("▼", "base moved"), ("★", "release"), ("→", "request opened"))
_PHASES = (
    ("preparing", "worktree and environment"),
    ("running", "agents at work"),
    ("verifying", "verification"),
    ("repairing", "repair"),
    ("paused", "paused"),
    ("landing", "landing"),
)
_ATTEMPTS = (("succeeded", "attempt that succeeded"), ("failed", "✗ attempt that failed"))
_MARKS = (("✓", "verified"), ("✗", "failed"), ("↷", "put aside"), ("!", "conflict seen"))
_KINDS = (("input_tokens", "input"), ("output_tokens", "output"))
_CACHE = (("cache_write_tokens", "cache written"), ("cache_read_tokens", "cache read"))


def page(facts: Facts) -> str:
    """The whole document."""
    clock = drawing.clock_for(facts.timeline, facts.payments)
    sections = [
        ("builds", "Builds", _builds(facts)),
        ("checklist", "Checklist", _checklist(facts)),
        ("timeline", "Timeline", _timeline(facts, clock)),
        ("costs", "Costs", _costs(facts, clock)),
        ("estimates", "Estimate and actual", _outcomes(facts)),
        ("conflicts", "Conflicts", _conflicts(facts.conflicts)),
        ("details", "Build by build", joined(*(_detail(build, facts) for build in facts.builds))),
        ("runs", "Runs", _runs(facts)),
    ]
    title = f"{facts.plan}: {telling.headline(facts)}"
    links = [el("li", el("a", name, href=f"#{where}")) for where, name, _ in sections]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="generator", content=GENERATOR),
        el("meta", name="robots", content="noindex"),
        el("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        el("title", f"{title} – br3"),
        el("style", Markup((resources.files("br3.report") / "page.css").read_text(encoding="utf-8"))),
    )
    body = el(
        "body",
        drawing.PATTERNS,
        el("header", *_header(facts), el("nav", el("ul", *links), aria_label="Sections")),
        el("main", *(el("section", el("h2", name, id=where), content) for where, name, content in sections)),
        el("footer", *_footer(facts)),
    )
    return "<!DOCTYPE html>\n" + el("html", head, "\n", body, lang="en") + "\n"


def _header(facts: Facts) -> Iterable[Markup]:
    yield el("h1", facts.plan)
    yield el("p", telling.headline(facts), class_="lead")
    yield el(
        "p",
        "Run ",
        el("code", facts.run),
        f" of {facts.project}: {telling.run_state(facts)}. {telling.span(facts)}.",
        class_="soft",
    )
    landed = sum(build.landed for build in facts.builds)
    verified = sum(build.verified for build in facts.builds)
    whole = facts.whole_verify or {}
    tries = len(facts.attempts)
    failed = sum(attempt.state == "failed" for attempt in facts.attempts)
    tiles = [
        ("Builds", f"{verified} of {len(facts.builds)} verified", f"{landed} landed on {facts.base}"),
        ("Paid", telling.spent(facts.spent), telling.unknowns(facts.spent) or telling.against_budget(facts)),
        ("Tokens", telling.UNKNOWN if facts.tokens is None else f"{facts.tokens:,}", _of_cache(facts)),
        ("Attempts", f"{tries:,}", f"{failed} failed" if failed else "none failed" if tries else "done by hand"),
    ]
    if whole.get("tests"):
        tiles.append((f"Tests on {facts.base}", telling.counts(whole["tests"]), f"at {str(whole['commit'])[:9]}"))
    if facts.budget_usd is not None and telling.unknowns(facts.spent):
        tiles.insert(2, ("Budget", usd(facts.budget_usd), telling.against_budget(facts)))
    said = [el("div", el("dt", name), el("dd", value, el("small", more))) for name, value, more in tiles]
    yield el("dl", *said, class_="tiles")


def _of_cache(facts: Facts) -> str:
    if not facts.tokens:
        return "no usage was told"
    read = sum(model.cache_read_tokens for model in facts.models)
    return f"{read / facts.tokens:.0%} of them read from a cache"


def _builds(facts: Facts) -> Markup:
    heads = ("build", "state", "tasks", "planned", "estimated", "tests", "tokens", "paid", "time")
    rows: list[Sequence[Content]] = []
    for build in facts.builds:
        link = el("a", build.id, href=f"#build-{build.number}")
        rows.append(
            (
                joined(f"{build.number}. ", link, el("span", build.title, class_="title")),
                _state(build.state, telling.stated(build.state)),
                telling.build_tasks(build),
                telling.planned_time(build.planned_minutes),
                telling.estimate_usd(build.estimated_usd),
                telling.build_tests(build),
                telling.build_tokens(build),
                telling.build_cost(build),
                telling.build_time(build),
            )
        )
    tokens = telling.NOTHING if facts.tokens is None else f"{facts.tokens:,}"
    total = ("together", None, None, None, None, None, tokens, telling.spent(facts.spent), None)
    return joined(
        el(
            "p",
            f"Up to {facts.jobs} at once, from {facts.base} at ",
            el("code", facts.base_commit[:9]),
            ", now at " if facts.base_now else " (it is gone)",
            el("code", facts.base_now[:9]) if facts.base_now else None,
            f"; they land by {'pull request' if facts.lands_by == 'pr' else 'merge train'}. "
            "Estimated: half cost at most the first figure, nine of ten at most the second.",
            class_="soft",
        ),
        _table(heads, rows, "", foot=total, numeric=(3, 4, 6, 7, 8)),
    )


def _checklist(facts: Facts) -> Markup:
    if not facts.checklist:
        return el("p", "The plan has no checklist ([[criterion]]).", class_="soft")
    items = []
    for check in facts.checklist:
        kind = {True: "met-yes", False: "met-no", None: "met-unknown"}[check.met]
        sign = el("span", telling.check_sign(check), class_=kind)
        items.append(el("li", sign, f"\u2002{check.name} ", el("span", spans(telling.check_seen(check)), class_="why")))
    met = sum(check.met is True for check in facts.checklist)
    return joined(
        el("p", f"{met} of {len(facts.checklist)} met, as br3 finish saw them last.", class_="soft"),
        el("ul", *items, class_="checklist"),
    )


def _timeline(facts: Facts, clock: Clock | None) -> Markup:
    if clock is None or not facts.timeline:
        return el("p", "Nothing has happened yet that has a time.", class_="soft")
    bars = {bar.kind for row in facts.timeline for bar in (*row.phases, *row.attempts)}
    signs = {drawing.SIGNS[mark.kind] for row in facts.timeline for mark in row.marks}
    kinds = [(kind, words) for kind, words in (*_PHASES, *_ATTEMPTS) if kind in bars]
    kinds += [(sign, words) for sign, words in (*_MARKS, *_BASE_MARKS) if sign in signs]
    days = {stretch.began.date() for stretch in clock.stretches} | {clock.stretches[-1].ended.date()}
    when = f"{min(days)}" if len(days) == 1 else f"{min(days)} to {max(days)}"
    left_out = " Dotted: time when nobody was at work, not to scale." if clock.gaps else ""
    rows = [
        (
            attempt.build,
            f"{attempt.task} ({attempt.number})",
            moment(attempt.began),
            seconds((attempt.ended - attempt.began).total_seconds()) if attempt.ended else "going on",
            _state(attempt.state, telling.attempt_state(attempt), attempt.why),
            " · ".join(name for name in (attempt.agent, attempt.model) if name),
            telling.money(attempt.cost_usd, attempt.known_usd),
        )
        for attempt in facts.attempts
    ]
    heads = ("build", "task (attempt)", "began, UTC", "took", "outcome", "agent", "paid")
    table = _table(heads, rows, "Every attempt, in the order in which they began", numeric=(3, 6))
    return joined(
        el(
            "figure",
            el("figcaption", f"Times are UTC, {when}.{left_out} Above: what a build was at; below: its attempts."),
            drawing.timeline(facts.timeline, clock),
            drawing.legend(kinds),
            class_="long",
        ),
        el("details", el("summary", counted(len(rows), "attempt"), " as a table"), table) if rows else None,
    )


def _costs(facts: Facts, clock: Clock | None) -> Markup:
    said = el("p", f"Paid: {telling.spent(facts.spent)}. Budget: {telling.against_budget(facts)}.")
    unknown = telling.unknowns(facts.spent)
    why = el("p", f"Not known: {unknown}. What is not known is in no figure and in no plot.") if unknown else None
    if not facts.models:
        return joined(said, why, el("p", "No usage of a model was told.", class_="soft"))
    parts: list[Content] = [said, why]
    if clock is not None and any(payment.usd for payment in facts.payments):
        parts.append(
            el(
                "figure",
                el("figcaption", "Paid so far, over time (UTC)"),
                drawing.spending(facts.payments, facts.budget_usd, clock),
            )
        )
    parts += [_by_model(facts), _by_build(facts), _by_kind(facts), _models_table(facts)]
    return joined(*parts)


def _by_model(facts: Facts) -> Markup:
    most = max((float(model.cost_usd or 0) for model in facts.models), default=0.0) or 1.0
    items = [
        drawing.Item(model.model, float(model.cost_usd or 0) / most, telling.money(model.cost_usd))
        for model in facts.models
    ]
    return _figure("Paid by model", drawing.bars("by-model", "Paid by model", items))


def _by_build(facts: Facts) -> Markup | None:
    known = [build for build in facts.builds if any(task.attempts for task in build.tasks)]
    known.sort(key=lambda build: (build.known_usd is None, -(build.known_usd or 0), build.number))
    most = max((float(build.known_usd or 0) for build in known), default=0.0) or 1.0
    items = [drawing.Item(build.id, float(build.known_usd or 0) / most, telling.build_cost(build)) for build in known]
    return _figure("Paid by build", drawing.bars("by-build", "Paid by build", items)) if items else None


def _by_kind(facts: Facts) -> Markup:
    sums = [(name, sum(getattr(model, key) for model in facts.models)) for key, name in (*_KINDS, *_CACHE)]
    most = max(number for _, number in sums) or 1
    items = [drawing.Item(name, number / most, f"{number:,}") for name, number in sums]
    return _figure("Tokens by kind", drawing.bars("by-kind", "Tokens by kind", items))


def _models_table(facts: Facts) -> Markup:
    heads = ("model", "paid", "no price", *(name for _, name in (*_KINDS, *_CACHE)))
    rows = [
        (
            model.model,
            telling.money(model.cost_usd),
            f"{model.unpriced_tokens:,}",
            *(f"{getattr(model, key):,}" for key, _ in (*_KINDS, *_CACHE)),
        )
        for model in facts.models
    ]
    return _table(heads, rows, "Tokens and dollars by model", numeric=range(1, 7))


def _outcomes(facts: Facts) -> Markup:
    parts: list[Content] = []
    for found in facts.outcomes:
        if found.kept:
            parts += [_outcome(found), _outcomes_table(found)]
    if not parts:
        return el(
            "p",
            "There is nothing to compare: no build that has ended has both an estimate for the model that did the work "
            "and a known outcome.",
            class_="soft",
        )
    return joined(*parts)


def _outcome(found: Outcomes) -> Markup:
    name = "Dollars" if found.unit == "USD" else "Minutes of agents"
    told = telling.accuracy(found.coverage_p90, found.median_error_factor)
    return joined(
        _figure(
            f"{name}: the band is from P50 to P90 of the estimate, on a logarithmic axis. {told}.",
            drawing.ranges(f"estimated-{found.unit}", found),
            drawing.legend([("●", "taken, at most P90"), ("◆", "taken, above P90")]),
            long=True,
        )
    )


def _outcomes_table(found: Outcomes) -> Markup:
    say = usd if found.unit == "USD" else minutes
    rows = [
        (
            one.build,
            one.model,
            *(say(value) for value in (one.estimated.p50, one.estimated.p90, one.taken)),
            "above P90" if one.taken > one.estimated.p90 else "within",
        )
        for one in found.kept
    ]
    table = _table(("build", "model", "P50", "P90", "taken", ""), rows, f"In {found.unit}", numeric=(2, 3, 4))
    return el("details", el("summary", f"{counted(len(rows), 'build')} as a table"), table)


def _conflicts(found: Conflicts) -> Markup:
    if found.problem:
        return el("p", f"It cannot be told who conflicts: {found.problem}.")
    now = [meeting for meeting in found.meetings if meeting.state == "conflict"]
    then = [meeting for meeting in found.meetings if meeting.seen and meeting.state != "conflict"]
    if not found.meetings:
        return el("p", "No conflict was seen, and there is nothing left that could meet.", class_="soft")
    said = (
        f"{counted(len(now), 'pair')} in conflict as committed now"
        if now
        else "No pair is in conflict as committed now"
    )
    said += f", {len(then)} {'was' if len(then) == 1 else 'were'} at some time." if then else "."
    rows = [
        (
            f"{meeting.a} and {meeting.b}",
            "× conflict" if meeting.state == "conflict" else "△ there was one",
            joined(*_codes(meeting.files or meeting.seen_files)),
        )
        for meeting in (*now, *then)
    ]
    return joined(
        el("p", said, " br3 conflicts looks at what is uncommitted too."),
        el(
            "figure",
            el("figcaption", "Every pair of builds, by their numbers, and base"),
            drawing.matrix(found),
            drawing.legend(
                [
                    ("×", "conflict"),
                    ("△", "there was one"),
                    ("·", "none"),
                    ("?", "not known"),
                    ("landed", "one has landed"),
                ]
            ),
            class_="long",
        ),
        _table(("builds", "", "files"), rows, "Pairs with a conflict, and its files") if rows else None,
    )


def _detail(build: Build, facts: Facts) -> Markup:
    where = [f"branch {build.branch}"]
    if build.commit:
        where.append(f"at {build.commit[:9]}")
    if build.landed:
        where.append(f"landed as {build.landed_as[:9]}" if build.landed_as else "landed")
    if build.request:
        where.append(f"request {build.request}")
    if build.agents:
        where.append(f"agent {', '.join(build.agents)}")
    if build.models:
        where.append(f"model {', '.join(build.models)}")
    if build.budget_usd is not None:
        where.append(f"budget {usd(build.budget_usd)}")
    if build.score is not None:
        where.append(f"complexity {build.score:g}{f' ({build.level})' if build.level else ''}")
    if build.estimated_minutes is not None:
        where.append(f"estimated {telling.estimate_minutes(build.estimated_minutes)} of agents")
    rows = [
        (
            task.id,
            joined(
                task.title if task.title != task.id else "",
                el("span", spans(task.reason), class_="why") if task.reason else None,
            ),
            telling.planned_time(task.minutes),
            str(task.attempts),
            _state(task.state, telling.task_state(task)),
        )
        for task in build.tasks
    ]
    commands = [
        (
            el("code", command.run),
            telling.UNKNOWN if command.exit_code is None else str(command.exit_code),
            telling.NOTHING if command.duration_s is None else seconds(command.duration_s),
        )
        for command in build.commands
    ]
    shown = [telling.build_tests(build)] if build.tests else []
    shown += [f"{build.coverage:g} % coverage"] if build.coverage is not None else []
    must = telling.wanted(build)
    verified = f"Verification: {', '.join(shown) or 'no counts'}{f'; it must show {must}' if must else ''}"
    return el(
        "article",
        el("h3", f"{build.number}. {build.title} ", el("code", build.id), id=f"build-{build.number}"),
        el(
            "p",
            el("span", telling.stated(build.state), class_=f"s-{build.state}"),
            f" · {' · '.join(where)}",
            class_="soft",
        ),
        el("ul", *(el("li", spans(why)) for why in telling.whys(build)), class_="notes")
        if any(telling.whys(build))
        else None,
        _table(("task", "title", "planned", "attempts", "state"), rows, "Tasks", numeric=(2, 3)),
        _table(("command", "exit code", "took"), commands, verified, numeric=(1, 2)) if commands else None,
    )


def _runs(facts: Facts) -> Markup:
    rows: list[Sequence[Content]] = []
    for run, part in [*((r, "") for r in facts.runs), *((r, "resolved conflicts, beside") for r in facts.aside_runs)]:
        rows.append(
            (
                str(run["run"]),
                ": ".join(str(said) for said in (run["state"], run.get("reason")) if said),
                part or None,
                str(run["verified"]),
                telling.NOTHING if run.get("tokens") is None else f"{run['tokens']:,}",
                telling.run_cost(run),
            )
        )
    more = " and those that it continues" if len(facts.runs) > 1 else ""
    note = " Runs beside it are in no sum above." if facts.aside_runs else ""
    return joined(
        el("p", f"This run{more}; the sums are of all of them.{note}", class_="soft") if len(rows) > 1 else None,
        _table(
            ("run", "state", "", "builds verified", "tokens", "paid"), rows, "As br3 runs lists them", numeric=(3, 4, 5)
        ),
        el("ul", *(el("li", f"journal: {problem}") for problem in facts.problems), class_="notes")
        if facts.problems
        else None,
    )


def _footer(facts: Facts) -> Iterable[Markup]:
    yield el(
        "p",
        f"Made {moment(facts.made_at)} UTC by br3 {facts.version}: ",
        el("code", f"br3 report {facts.run} -o report.html"),
        ". States are replayed from the journal, landed and verified are what git said at that moment.",
    )


def _figure(caption: str, *content: Content, long: bool = False) -> Markup:
    return el("figure", el("figcaption", caption), *content, class_="long" if long else None)


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Content]],
    caption: str,
    *,
    foot: Sequence[Content] = (),
    numeric: Iterable[int] = (),
) -> Markup:
    """A table whose rows begin with what they are of; on a narrow page every row is a list with its heads."""
    right = set(numeric)

    def line(cells: Sequence[Content]) -> Markup:
        first, *others = cells
        told = [
            el("td", cell, class_="num" if place in right else None, data_head=heads[place] or None)
            if cell is not None
            else el("td", class_="empty")
            for place, cell in enumerate(others, start=1)
        ]
        return el("tr", el("th", first, scope="row"), *told)

    top = [el("th", head, scope="col", class_="num" if place in right else None) for place, head in enumerate(heads)]
    table = el(
        "table",
        el("caption", caption) if caption else None,
        el("thead", el("tr", *top)),
        el("tbody", *(line(row) for row in rows)),
        el("tfoot", line(foot)) if foot else None,
    )
    # What scrolls has to be reached by keys too.
    return el("div", table, class_="scroll", tabindex="0", role="group", aria_label=caption or "Table")


def _state(kind: str, words: str, why: str | None = None) -> Markup:
    return joined(el("span", words, class_=f"s-{kind}"), el("span", spans(why), class_="why") if why else None)


def _codes(texts: Sequence[str]) -> Iterable[Content]:
    for number, text in enumerate(texts):
        if number:
            yield ", "
        yield el("code", text)
