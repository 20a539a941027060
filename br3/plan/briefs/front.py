"""YAML front matter: keys that the plan knows, also a list or table of builds. Lines are told by PyYAML's marks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from br3.plan.briefs import quantities
from br3.plan.briefs.drafts import BuildDraft, Draft
from br3.plan.briefs.facts import Facts, agent_in
from br3.plan.briefs.labels import Role, role_of
from br3.plan.briefs.ledger import Ledger
from br3.plan.briefs.quantities import Expected
from br3.plan.briefs.structure import Part

if TYPE_CHECKING:
    from yaml.nodes import Node

_MOST_LINES = 2000


def take(lines: list[str], draft: Draft, ledger: Ledger) -> list[str]:
    """The lines without front matter (its lines are blank then), which is read into the draft."""
    end = _end(lines)
    if end is None:
        return lines
    import yaml

    rest = [*[""] * (end + 1), *lines[end + 1 :]]
    ledger.place([1, end + 1], "structure")
    try:
        node = yaml.compose("\n".join(["", *lines[1:end]]) + "\n", Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        draft.note(place.line + 1 if place else 1, "the front matter is no YAML that can be read; none of it was taken")
        return rest
    if node is not None and node.id == "mapping":
        _whole(node, draft, ledger)
    return rest


def _end(lines: list[str]) -> int | None:
    if not lines or lines[0].rstrip() != "---":
        return None
    end = next((at for at in range(1, min(len(lines), _MOST_LINES)) if lines[at].rstrip() in ("---", "...")), None)
    # A row of dashes at the top may be a row of dashes.
    return end if end and any(re.match(r"[\w-]+\s*:", line) for line in lines[1:end]) else None


def _whole(node: Node, draft: Draft, ledger: Ledger) -> None:
    for key, value in _entries(node):
        role = role_of(key)
        text = _scalar(value)
        lines = _numbers(value)
        match role:
            case "name" | "title" if text:
                draft.name = text
            case "base" | "branch" if text:
                draft.base = text
            case "tag" | "release" if text:
                draft.tag = text
            case "release" | "tag" if value.id == "mapping":
                _release(value, draft, ledger)
                ledger.place([_line_of_key(node, key)], "structure")
                continue
            case "message" if text:
                draft.message = text
            case "remote" if text:
                draft.remote = text
            case "budget" if text and (amount := _amount(text)) is not None:
                draft.budget_usd = amount
            case "jobs" if _number(text):
                draft.jobs = _number(text)
            case "agent" if agent_in(text):
                draft.agents.append(agent_in(text))
            case "setup" if _texts(value):
                draft.setup += _texts(value)
            case "verification" | "run" if value.id == "mapping":
                _verify(value, draft, None, ledger)
                ledger.place([_line_of_key(node, key)], "structure")
                continue
            case "verification" | "run" | "tests" if _texts(value):
                draft.verify += _texts(value)
            case "builds" if value.id in ("sequence", "mapping"):
                _builds(value, draft, ledger)
                ledger.place([node.start_mark.line + 1])
                ledger.place([_line_of_key(node, key)], "structure")
                continue
            case "landing" | "after" if _texts(value):
                draft.order_said += [(lines[0], entry) for entry in _texts(value)]
            case _:
                continue
        ledger.place([_line_of_key(node, key), *lines])


def _release(node: Node, draft: Draft, ledger: Ledger) -> None:
    for key, value in _entries(node):
        text = _scalar(value)
        match role_of(key):
            case "tag" | "release" if text:
                draft.tag = text
            case "message" if text:
                draft.message = text
            case "remote" if text:
                draft.remote = text
            case _ if key.lower() == "push" and text.lower() in ("true", "yes", "false", "no"):
                draft.push = text.lower() in ("true", "yes")
                ledger.place(_numbers(value), "meaning")
                continue
            case _:
                continue
        ledger.place([_line_of_key(node, key), *_numbers(value)])


def _builds(node: Node, draft: Draft, ledger: Ledger) -> None:
    if node.id == "mapping":
        for key, value in _entries(node):
            build = BuildDraft(_line_of_key(node, key), id=key)
            build.named(key, 1)
            draft.builds.append(build)
            ledger.place([build.line])
            if value.id == "mapping":
                _build(value, build, draft, ledger)
        return
    for value in getattr(node, "value", []):
        build = BuildDraft(value.start_mark.line + 1)
        draft.builds.append(build)
        if value.id == "mapping":
            _build(value, build, draft, ledger)
        else:
            build.named(_scalar(value), 2)
            ledger.place(_numbers(value))


def _build(node: Node, build: BuildDraft, draft: Draft, ledger: Ledger) -> None:
    facts = Facts(draft, build, ledger, lambda *_: False)
    for key, value in _entries(node):
        line, texts, text = _line_of_key(node, key), _texts(value), _scalar(value)
        role = role_of(key)
        part = Part("item", line, line, text)
        if key.lower() in ("id", "key", "slug") and text:
            build.id = text
        elif role in ("title", "name") and text:
            build.named(text, 4)
        elif key.lower() in ("prompt", "instructions") and text:
            build.prompt, build.prompt_line = f"{text.rstrip()}\n", line
            ledger.place(_numbers(value), "whole")
        elif role == "prompt" and text:
            build.remark = text.strip()
        elif role == "verification" and value.id == "mapping":
            _verify(value, draft, build, ledger)
        elif role in ("verification", "run") and texts:
            build.verify += texts
        elif role == "tests" and _number(text) is not None:
            build.expected = Expected(_number(text), build.expected.min_coverage)
        elif role == "coverage" and (percent := _percent(text)) is not None:
            build.expected = Expected(build.expected.min_passed, percent)
        elif role == "minutes" and text:
            build.minutes = quantities.minutes(text) or quantities.minutes(f"{text} min")
        elif role == "setup" and texts:
            build.setup += texts
        elif role == "budget" and (amount := _amount(text)) is not None:
            build.budget_usd = amount
        elif role in ("needs", "after"):
            (build.needs if role == "needs" else build.after).extend((line, entry) for entry in texts)
        elif role == "tasks" and value.id == "sequence":
            for entry in value.value:
                _task(entry, facts, ledger)
        elif role is None or not texts or not _applied(facts, part, role, texts):
            continue
        ledger.place([line, *_numbers(value)] if value.id != "sequence" or role != "tasks" else [line])


def _applied(facts: Facts, part: Part, role: Role, texts: list[str]) -> bool:
    """Take all the texts; whether each found its place."""
    done = [facts.apply(part, role, text, listed=True, labelled=True) for text in texts]
    return all(done)


def _task(node: Node, facts: Facts, ledger: Ledger) -> None:
    if node.id != "mapping":
        facts.build.tasks.append(facts.made_task(_scalar(node)))
        ledger.place(_numbers(node))
        return
    entries = dict(_entries(node))
    name = next((_scalar(v) for k, v in entries.items() if role_of(k) in ("title", "tasks", "name", "prompt")), "")
    made = facts.made_task(name)
    for key, value in entries.items():
        text, role = _scalar(value), role_of(key)
        if key.lower() in ("id", "key"):
            made.id = text
        elif role == "minutes":
            made.minutes = quantities.minutes(text) or quantities.minutes(f"{text} min")
        elif text == name:
            pass
        else:
            made.detail.append(text)
        ledger.place([_line_of_key(node, key), *_numbers(value)])
    facts.build.tasks.append(made)


def _verify(node: Node, draft: Draft, build: BuildDraft | None, ledger: Ledger) -> None:
    target = build or draft
    for key, value in _entries(node):
        text, role = _scalar(value), role_of(key.replace("_", " "))
        if role in ("run", "verification") and _texts(value):
            target.verify += _texts(value)
        elif (role == "tests" or key.lower() in ("min_passed", "passed")) and _number(text) is not None:
            target.expected = Expected(_number(text), target.expected.min_coverage)
        elif (role == "coverage" or key.lower() == "min_coverage") and (percent := _percent(text)) is not None:
            target.expected = Expected(target.expected.min_passed, percent)
        else:
            continue
        ledger.place([_line_of_key(node, key), *_numbers(value)])


def _entries(node: Node) -> list[tuple[str, Node]]:
    return [(str(key.value), value) for key, value in node.value if key.id == "scalar"] if node.id == "mapping" else []


def _line_of_key(node: Node, name: str) -> int:
    return next(int(key.start_mark.line) + 1 for key, _ in node.value if str(key.value) == name)


def _numbers(node: Node) -> range:
    first, last = node.start_mark.line + 1, node.end_mark.line + 1
    return range(first, max(first + 1, last if node.end_mark.column == 0 else last + 1))


def _scalar(node: Node) -> str:
    return str(node.value).strip() if node.id == "scalar" and node.tag != "tag:yaml.org,2002:null" else ""


def _texts(node: Node) -> list[str]:
    """A scalar, or a sequence of them, as texts; nothing when there is anything else in it."""
    if node.id == "scalar":
        return [_scalar(node)] if _scalar(node) else []
    if node.id == "sequence" and all(entry.id == "scalar" for entry in node.value):
        return [_scalar(entry) for entry in node.value if _scalar(entry)]
    return []


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _percent(text: str) -> float | None:
    found = re.fullmatch(r"(?:>=|≥)?\s*(\d{1,3}(?:\.\d+)?)\s*%?", text)
    return float(found[1]) if found and float(found[1]) <= 100 else None


def _amount(text: str) -> float | None:
    return quantities.usd(text) or (float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None)
