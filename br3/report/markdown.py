"""A report as short Markdown: for a terminal, and to be pasted into a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from br3.report import telling
from br3.report.facts import Facts
from br3.report.markup import fit
from br3.report.wording import moment, width
from br3.wording import counted

MARK = "<!-- br3 report -->"
"""What a report begins with; a file that does may be replaced."""

_MOST_WHYS = 3
_ADDRESS = re.compile(r"https?://[\w.:/-]+", re.ASCII)  # nothing in it is markup: a link to a request stays one


def markdown(facts: Facts) -> str:
    """The whole text; lines of tables are padded so that they read without being rendered."""
    sections = [
        [MARK, "", f"# {text(facts.plan)}: {text(telling.headline(facts))}"],
        [_about(facts)],
        list(_money(facts)),
        _builds(facts),
        list(_whys(facts)),
        list(_checklist(facts)),
        list(_conflicts(facts)),
        _models(facts),
        list(_outcomes(facts)),
        [_made(facts)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def text(said: str) -> str:
    """Words of somebody's in one line of Markdown: nothing in them is markup or a link, mentions nobody, ends no cell.

    What stands between two backticks stays code.
    """
    line = " ".join(fit(said).split())
    parts = line.split("`")
    if len(parts) % 2 and all(parts[1:-1]):
        return "".join(code(part) if place % 2 else _plain(part) for place, part in enumerate(parts))
    return _plain(line)


def _plain(line: str) -> str:
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~])", r"\\\1", line)
    line = re.sub(r"(?<![^\W_])_+|_+(?![^\W_])", lambda run: run[0].replace("_", r"\_"), line)
    line = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)
    line = re.sub(r"^([-+](?=\s|$)|#{1,6}(?=\s|$)|-(?=-+$)|=(?==*$))", r"\\\1", line)
    # What hosts make links of without any markup: names, issues, addresses. A comment is not seen and takes them apart.
    line = re.sub(r"([@#](?=\w)|\bgh-(?=\d)|\bwww(?=\.)|:(?=//))", r"\1<!-- -->", line, flags=re.IGNORECASE)
    return line.replace("$", "<span>$</span>")  # two of them make a formula; GitHub knows no other escape


def code(said: str) -> str:
    """Text as code on one line; the fence is longer than any within."""
    line = " ".join(fit(said).split()).replace("|", "¦") or " "
    fence = "`"
    while fence in line:
        fence += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """A table whose columns stand below each other; cells are Markdown already."""
    widths = [max(width(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    widths = [max(size, 3) for size in widths]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for place, cell in enumerate(cells):
            gap = " " * (widths[place] - width(cell))
            padded.append(gap + cell if place in right else cell + gap)
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (size - 1)}:" if place in right else "-" * size for place, size in enumerate(widths)]
    return [line(heads), f"| {' | '.join(rule)} |", *(line(row) for row in rows)]


def _about(facts: Facts) -> str:
    said = f"Run {code(facts.run)} of {text(facts.project)}: {text(telling.run_state(facts))}. {telling.span(facts)}."
    whole = facts.whole_verify
    if whole:
        tests = whole.get("tests")
        counts = f", {telling.counts(tests)} on it" if tests else ""
        said += f" {text(facts.base)}: {code(facts.base_commit[:9])} → {code(str(whole['commit'])[:9])}{counts}."
    return said


def _made(facts: Facts) -> str:
    more = code(f"br3 report {facts.run} -o report.html")
    return f"Made {moment(facts.made_at)} UTC by br3 {text(facts.version)}; {more} has the plots."


def _money(facts: Facts) -> Iterator[str]:
    tokens = f", {facts.tokens:,} tokens" if facts.tokens else ""
    budget = "" if facts.budget_usd is None else f"; budget: {telling.against_budget(facts)}"
    unknown = telling.unknowns(facts.spent)
    yield f"**Paid: {telling.spent(facts.spent)}**{tokens}{budget}{f' ({unknown})' if unknown else ''}"
    for run in facts.aside_runs:
        yield f"besides, to resolve conflicts, run {code(str(run['run']))}: {telling.run_cost(run)}"


def _builds(facts: Facts) -> list[str]:
    estimated = any(build.estimated_usd for build in facts.builds)
    heads = ["build", "state", "tasks", "tests", *(["estimated"] if estimated else []), "paid", "time"]
    rows = []
    for build in facts.builds:
        rows.append(
            [
                text(build.id),
                text(telling.stated(build.state)),
                telling.build_tasks(build),
                telling.build_tests(build),
                *([telling.estimate_usd(build.estimated_usd)] if estimated else []),
                telling.build_cost(build),
                telling.build_time(build),
            ]
        )
    return table(heads, rows, right=[len(heads) - 2, len(heads) - 1])


def _whys(facts: Facts) -> Iterator[str]:
    for build in facts.builds:
        whys = list(telling.whys(build))
        for why in whys[:_MOST_WHYS]:
            first, _, rest = why.strip().partition("\n")
            said = text(first)
            if build.request and _ADDRESS.fullmatch(build.request):
                said = said.replace(text(build.request), build.request)
            yield f"- {text(build.id)}: {said}{' …' if rest else ''}"
        if len(whys) > _MOST_WHYS:
            yield f"- {text(build.id)}: and {len(whys) - _MOST_WHYS} more"
    for problem in facts.problems:
        yield f"- journal: {text(problem)}"


def _checklist(facts: Facts) -> Iterator[str]:
    if not facts.checklist:
        return
    yield "## Checklist"
    yield ""
    for check in facts.checklist:
        yield f"- {telling.check_sign(check)} {text(check.name)}: {text(telling.check_seen(check))}"


def _conflicts(facts: Facts) -> Iterator[str]:
    found = [meeting for meeting in facts.conflicts.meetings if meeting.state == "conflict" or meeting.seen]
    if not found:
        return
    yield "## Conflicts"
    yield ""
    for meeting in found:
        files = meeting.files or meeting.seen_files
        when = "conflict" if meeting.state == "conflict" else "there was a conflict"
        named = ", ".join(code(file) for file in files[:6]) + (f" and {len(files) - 6} more" if len(files) > 6 else "")
        yield f"- {text(meeting.a)} and {text(meeting.b)}: {when} in {named}"


def _models(facts: Facts) -> list[str]:
    if not facts.models:
        return []
    rows = [
        [
            text(model.model),
            telling.money(model.cost_usd),
            f"{model.input_tokens:,}",
            f"{model.output_tokens:,}",
            f"{model.cache_write_tokens:,}",
            f"{model.cache_read_tokens:,}",
        ]
        for model in facts.models
    ]
    heads = ["model", "paid", "input", "output", "cache written", "cache read"]
    return ["## Cost by model", "", *table(heads, rows, right=[1, 2, 3, 4, 5])]


def _outcomes(facts: Facts) -> Iterator[str]:
    told = [
        (found.unit, len(found.kept), telling.accuracy(found.coverage_p90, found.median_error_factor))
        for found in facts.outcomes
        if found.kept
    ]
    if told:
        yield "## Estimate and actual"
        yield ""
    for unit, number, said in told:
        name = "Dollars" if unit == "USD" else "Minutes of agents"
        yield f"- {name}, {counted(number, 'build')}: {said}"
