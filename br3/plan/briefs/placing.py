"""From what was gathered to the plan: values by key, remarks, and what the reader has to know."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.plan import refnames
from br3.plan.briefs import paths
from br3.plan.briefs.commands import is_test
from br3.plan.briefs.criteria import criterion
from br3.plan.briefs.drafts import BuildDraft, Draft, Note, TaskDraft
from br3.plan.briefs.facts import both
from br3.plan.briefs.ledger import Unplaced
from br3.plan.briefs.quantities import Expected
from br3.plan.briefs.reading import Read, read
from br3.plan.briefs.signs import repaired
from br3.plan.briefs.writing import Sketch, toml
from br3.plan.detection import Detected
from br3.plan.template import NOTHING_TO_RUN

_TO_BE_THERE = re.compile(
    r"\b(?:modify|update|fix|extend|edit|change|refactor|rewrite|read|see|follow|based on|according to)\b", re.I
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Here:
    """The repository that the plan is for: its root, the branch that is checked out, how it is set up and tested."""

    root: Path
    branch: str | None
    detected: Detected

    def exists(self, path: str) -> bool:
        """Whether the repository has that path."""
        try:
            return (self.root / path).exists()
        except (OSError, ValueError):
            return False


@dataclass(frozen=True)
class Imported:
    """A brief as a plan: the sketch, its text, what was assumed or changed, and what was not placed."""

    sketch: Sketch
    text: str
    notes: tuple[Note, ...]
    unplaced: tuple[Unplaced, ...]
    read: Read = field(repr=False)


def import_brief(text: str, name: str, here: Here) -> Imported:
    """The plan that a brief makes in a repository; ``name`` is what the brief is called to people."""
    found = read(text)
    _Placing(found, here).complete()
    sketch = Sketch(_data(found.draft, here))
    return finished(sketch, found, name, here)


def finished(sketch: Sketch, found: Read, name: str, here: Here, claimed: frozenset[int] = frozenset()) -> Imported:
    """The sketch with its remarks and with what was not placed as comments at its end.

    ``claimed``: lines that somebody else has placed.
    """
    draft = found.draft
    sketch = Sketch(sketch.data)
    _remarks(sketch, draft, here)
    notes = tuple(sorted([*draft.notes, *_places(found), *_paths_in_prompts(found, here)], key=lambda note: note.line))
    sketch.head = _head(name, notes)
    written = toml(sketch)
    unplaced = tuple(line for line in found.ledger.unplaced(written, found.under) if line.line not in claimed)
    sketch.tail = _tail(name, unplaced)
    return Imported(sketch, toml(sketch), notes, unplaced, found)


class _Placing:
    """Fills in what follows from the rest of the brief and from the repository."""

    def __init__(self, found: Read, here: Here) -> None:
        self.found, self.draft, self.here = found, found.draft, here

    def complete(self) -> None:
        """All of it."""
        self._prompts()
        self._tasks()
        self._setup()
        for build in self.draft.builds:
            if build.verify:  # a minimum needs something that is counted
                build.expected = both(build.expected, build.hoped)
                self.found.ledger.place(build.hoped_on)
            self._owns(build)
        self._test_paths()

    def _prompts(self) -> None:
        """A fence is the prompt as written; without one it is what the section says."""
        ledger = self.found.ledger
        for build in self.draft.builds:
            numbers = [number for number, _ in build.said]
            if build.prompt is not None:
                continue
            if any(line.strip() for _, line in build.said):
                build.prompt = _text(build.said)
                ledger.place(numbers, "whole")

    def _tasks(self) -> None:
        for build in self.draft.builds:
            for at, task in enumerate(build.tasks, start=1):
                label = build.label or ""
                task.id = task.id or (f"{label}.{at}" if re.fullmatch(r"[A-Z]|\d{1,2}", label) else str(at))
                if not _ID.fullmatch(task.id):
                    task.id = str(at)
            seen: set[str] = set()
            for at, task in enumerate(build.tasks, start=1):
                if task.id.casefold() in seen or task.id.casefold() == "repair":
                    task.id = f"{task.id}-{at}"
                seen.add(task.id.casefold())
            if build.minutes and not build.tasks:
                build.tasks.append(TaskDraft("1", build.title, build.minutes))

    def _setup(self) -> None:
        """What all builds set up alike is for every worktree."""
        draft = self.draft
        if len(draft.builds) > 1:
            shared = [c for c in draft.builds[0].setup if all(c in build.setup for build in draft.builds)]
            draft.setup += [command for command in shared if command not in draft.setup]
        for build in draft.builds:
            build.setup = [command for command in build.setup if command not in draft.setup]
        if not draft.setup and any(build.setup for build in draft.builds) and self.here.detected.setup:
            draft.setup = list(self.here.detected.setup)
            draft.note(0, f"[setup] as found here: {', '.join(draft.setup)}")
        everything = [*draft.setup, *(c for build in draft.builds for c in build.setup)]
        bare = [c for c in everything if re.match(r"(?:python3? -m )?pip3? install", c)]
        makes = [c for c in everything if re.search(r"-m venv|virtualenv|uv venv|uv sync|poetry|conda", c)]
        if bare and not makes:
            draft.setup.insert(0, "python3 -m venv .venv")
            draft.note(0, "the brief installs with pip but makes no environment; each worktree gets a .venv of its own")

    def _owns(self, build: BuildDraft) -> None:
        known = [word for command in build.verify for word in command.split()]
        owned = []
        for path in build.owns:
            placed = paths.in_place(path, known, self.here.exists)
            owned.append(placed)
        build.owns = paths.without_covered(owned)

    def _test_paths(self) -> None:
        """Tests that one build's verification names belong to it, unless that of another one names them too."""
        named = {
            id(b): [p for command in b.verify if is_test(command) for p in _test_paths_in(command)]
            for b in self.draft.builds
        }
        for build in self.draft.builds:
            if not build.owns:
                continue
            others = {path for other, found in named.items() if other != id(build) for path in found}
            for path in named[id(build)]:
                owned = paths.as_owned(path)
                if path not in others and path.rstrip("/") not in ("tests", "test", "spec", "src"):
                    build.owns = paths.without_covered([*build.owns, owned])


def _test_paths_in(command: str) -> list[str]:
    words = [w for w in re.split(r"\s+", command)[1:] if not w.startswith("-")]
    return [
        w.split("::")[0]
        for w in words
        if re.match(r"(?:[\w.-]+/)*(?:tests?|spec|specs|__tests__|e2e)(?:/|$)", w)
        or re.search(r"(?:^|/)test_\w+\.py$", w)
    ]


def _text(said: list[tuple[int, str]]) -> str:
    """Lines as they stood, with one blank line where some are left out."""
    out: list[str] = []
    before = None
    for number, line in sorted(dict(said).items()):
        if before is not None and number > before + 1:
            out.append("")
        out.append(line.rstrip())
        before = number
    return textwrap.dedent("\n".join(out)).strip("\n") + "\n"


def _data(draft: Draft, here: Here) -> dict[str, Any]:
    data: dict[str, Any] = {
        "plan": {"name": draft.name or here.root.name or "plan", "base": draft.base or here.branch or "main"}
    }
    if draft.jobs:
        data["plan"]["jobs"] = draft.jobs
    if draft.budget_usd:
        data["plan"]["budget_usd"] = draft.budget_usd
    if draft.setup or draft.copy:
        data["setup"] = {key: value for key, value in (("run", draft.setup), ("copy", draft.copy)) if value}
    agents = dict.fromkeys([*draft.agents, *(build.agent for build in draft.builds if build.agent)])
    agent = next(iter(agents), "claude")
    data["defaults"] = {"agent": agent}
    verify = _verify(draft.verify, _measured(draft.verify, draft.expected))
    if not verify and any(not build.verify for build in draft.builds):
        verify = {"run": list(here.detected.verify) or [NOTHING_TO_RUN]}
    if verify:
        data["verify"] = verify
    if draft.tag and (reason := refnames.refusal(draft.tag)):
        draft.note(0, f"{draft.tag} is no name for a tag: it {reason}; name another in [release]")
    elif draft.tag:
        release: dict[str, Any] = {"tag": draft.tag}
        if draft.message:
            release["message"] = draft.message
            meant = repaired(draft.message)
            if meant != draft.message:
                draft.note(0, f"damaged signs in the tag's message, left as written: perhaps “{meant}”")
        if draft.push:
            release |= {"push": True, "remote": draft.remote or "origin"}
        data["release"] = release
    elif draft.push:
        draft.note(0, "the brief pushes; br3 pushes base together with a tag, so name one in [release]")
    data["build"] = [_build(build, draft, agent) for build in draft.builds]
    names: dict[str, int] = {}
    found = []
    for line in draft.criteria:
        names[line.text] = names.get(line.text, 0) + 1
        made = criterion(line.text, draft)
        found.append(made if names[line.text] == 1 else {**made, "name": f"{made['name']} ({names[line.text]})"})
    if not found:
        found = _criteria_of_deliverables(draft)
    if found:
        data["criterion"] = found
    return {key: value for key, value in data.items() if value}


def _criteria_of_deliverables(draft: Draft) -> list[dict[str, Any]]:
    """Without a checklist: the files that a build is to deliver are there."""
    found = []
    for build in draft.builds:
        files = [pattern for pattern in build.owns if "*" not in pattern]
        if files and build.deliverables:
            tests = " && ".join(f"test -e {pattern}" for pattern in files if re.fullmatch(r"[\w./@+-]+", pattern))
            if tests:
                found.append({"name": f"{build.title or build.id}: what it delivers is there", "run": tests})
    return found


def _verify(run: list[str], expected: Expected) -> dict[str, Any]:
    if not run:
        return {}
    found: dict[str, Any] = {"run": run}
    if expected.min_passed is not None:
        found["min_passed"] = expected.min_passed
    if expected.min_coverage is not None:
        found["min_coverage"] = expected.min_coverage
    return found


_MEASURES = re.compile(r"--cov|coverage|tarpaulin|llvm-cov|-cover\b|\bnyc\b|\bc8\b")


def _measured(run: list[str], expected: Expected) -> Expected:
    """Without a minimum of coverage that no command measures: it could never be met."""
    if any(map(_MEASURES.search, run)):
        return expected
    return Expected(expected.min_passed, None)


def _build(build: BuildDraft, draft: Draft, agent: str) -> dict[str, Any]:
    if build.branch and (reason := refnames.refusal(build.branch)):
        draft.note(build.line, f"{build.branch} is no name for a branch: it {reason}; build/{build.id} is used")
    at = draft.order.index(build) if build in draft.order else 0
    needs = [other.id for other in build.needs_builds]
    before = [] if not at else [draft.order[at - 1].id]
    values: dict[str, Any] = {
        "id": build.id,
        "title": build.title,
        "branch": build.branch if not refnames.refusal(build.branch) else "",
        "worktree": build.worktree if build.worktree != build.id else "",
        "message": repaired(build.message) if build.message else "",
        "needs": needs,
        "after": [name for name in before if name not in needs],
        "owns": build.owns,
        "agent": build.agent if build.agent != agent else "",
        "model": build.model,
        "budget_usd": build.budget_usd,
        "strategy": "squash" if build.squash else "",
        "setup": build.setup,
        "deliverables": build.deliverables,
        "prompt": build.prompt or "",
        "task": [_task(task, build) for task in build.tasks],
        "verify": _verify(build.verify, _measured(build.verify, build.expected)),
    }
    if not values["prompt"] and not values["task"]:
        values["prompt"] = f"{build.remark or build.title}\n"
    return {key: value for key, value in values.items() if value not in ("", [], {}, None)}


def _task(task: TaskDraft, build: BuildDraft) -> dict[str, Any]:
    values: dict[str, Any] = {"id": task.id, "title": task.title or task.id, "minutes": task.minutes}
    detail = "\n".join(task.detail).strip("\n")
    if detail and not (build.prompt and all(line.strip("- ") in build.prompt for line in task.detail)):
        values["prompt"] = f"{detail}\n"
    return {key: value for key, value in values.items() if value not in ("", None)}


def _remarks(sketch: Sketch, draft: Draft, here: Here) -> None:
    data = sketch.data
    if draft.base and here.branch and draft.base != here.branch:
        sketch.remark(("plan", "base"), f"as the brief says; {here.branch} is checked out here")
    if "setup" not in data:
        found = f": {', '.join(here.detected.setup)}" if here.detected.setup else ""
        sketch.remark(("setup",), f"[setup] is not in the brief; br3 looks at the project each time{found}")
    if "verify" not in data:
        sketch.remark(("verify",), "[verify] is not in the brief: what lands has to pass the commands of all builds")
    elif not draft.verify:
        how = (
            "this is how the project is tested, as found here" if here.detected.verify else "it fails until you say it"
        )
        sketch.remark(("verify",), f"the brief does not say what all builds together must pass; {how}")
    if draft.fetches:
        sketch.remark(
            ("landing",), f"[landing]\nfetch = true  # line {draft.fetches}: the brief fetches base before it merges"
        )
    for at, build in enumerate(draft.builds):
        if (
            build.remark
            and at < len(data.get("build", []))
            and build.remark not in str(data["build"][at].get("prompt", ""))
        ):
            sketch.remark(("build", at), build.remark)
        if not build.verify:
            sketch.remark(
                ("build", at), "nothing in the brief verifies this build alone: [verify] counts, or add [build.verify]"
            )
        known = [task.minutes for task in build.tasks]
        if build.minutes and None not in known and sum(m for m in known if m) != build.minutes:
            sketch.remark(("build", at), f"the brief gives it {build.minutes:g} minutes in all")
        if build.verify and (told := _unmeasured(build.verify, build.expected, "[build.verify]")):
            sketch.remark(("build", at), told)
        if build.expected and not build.verify:
            sketch.remark(("build", at), f"expected: {_shown(build.expected)}; say by which command, in [build.verify]")
    if draft.verify and (told := _unmeasured(draft.verify, draft.expected, "[verify]")):
        sketch.remark(("verify",), told)
    if draft.expected and not draft.verify:
        sketch.remark(
            ("verify",), f"expected of the whole: {_shown(draft.expected)}; say by which command, in [verify]"
        )


def _unmeasured(run: list[str], expected: Expected, table: str) -> str | None:
    """What is said of a minimum of coverage that no command of ``table`` measures."""
    lost = expected.min_coverage
    if lost == _measured(run, expected).min_coverage:
        return None
    return f"{lost:g} % coverage is expected, but nothing in {table} measures it: --cov, then min_coverage"


def _shown(expected: Expected) -> str:
    said = [f"{expected.min_passed} tests"] if expected.min_passed is not None else []
    return ", ".join([*said, *([f"{expected.min_coverage:g} % covered"] if expected.min_coverage is not None else [])])


def _places(found: Read) -> list[Note]:
    """Where the repository lay on the machine of whoever wrote the brief."""
    mains = sorted(main for main in found.machine.main if main not in ("~", "/"))
    around = sorted({path.rpartition("/")[0] for path in found.machine.worktrees} - {"", "..", "."})
    around = [path for path in around if not any(main.startswith(f"{path}/") for main in mains)]
    notes = [f"taken for this repository: {', '.join(mains)}"] if mains else []
    notes += [f"worktrees lay in {', '.join(around)}; where they lie here, [plan] worktrees says"] if around else []
    return [Note(0, text) for text in notes]


def _paths_in_prompts(found: Read, here: Here) -> list[Note]:
    """Paths that prompts name and that are not here: of another machine, or files that are to be changed or read."""
    notes = []
    for build in found.draft.builds:
        missing: dict[str, int] = {}
        for at, line in enumerate((build.prompt or "").split("\n")):
            number = build.prompt_line + at if build.prompt_line else 0
            for path in (m[0].rstrip(".,;:") for m in paths.ABSOLUTE.finditer(line)):
                inside, _ = found.machine.here(path)
                if inside != path and here.exists(inside):
                    notes.append(Note(number, f"the prompt of {build.id} names {path}; here it is {inside}"))
                elif not Path(path).expanduser().exists():
                    missing.setdefault(path, number)
            if _TO_BE_THERE.search(line) and not paths.forbids(line):
                for path in paths.named(line):
                    if "*" not in path and not here.exists(path):
                        missing.setdefault(path, number)
        if missing:
            named = ", ".join(f"{path} (line {line})" if line else path for path, line in missing.items())
            what = "paths that are" if len(missing) > 1 else "a path that is"
            notes.append(Note(build.prompt_line, f"the prompt of {build.id} names {what} not here: {named}"))
    return notes


def _head(name: str, notes: tuple[Note, ...]) -> list[str]:
    lines = [
        f"The plan of a run, from {name}. Look through it, then:",
        "",
        "    br3 plan check      says everything that is wrong with this file",
        "    br3 plan show       shows what starts when, and what lands after what",
        "    br3 run             runs the builds; br3 finish lands, releases and cleans up",
    ]
    if notes:
        lines += ["", "What was assumed or changed:"]
        lines += [f"- {f'line {note.line}: ' if note.line else ''}{note.text}" for note in notes]
    return lines


def _tail(name: str, unplaced: tuple[Unplaced, ...]) -> list[str]:
    if not unplaced:
        return []
    lines = [f"Not placed: lines of {name} that are nowhere above. They have no effect."]
    under: str | None = None
    for line in unplaced:
        if line.under != under:
            under = line.under
            lines += ["", f"{under}:" if under else "at its beginning:"]
        missing = f"   [in part; missing: {' '.join(line.missing)}]" if line.missing else ""
        lines.append(f"{line.line:>5}  {line.text}{missing}")
    return lines
