"""What is gathered from a brief before it becomes a plan. Everything may be missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from br3.plan.briefs.labels import normal
from br3.plan.briefs.quantities import NOTHING_EXPECTED, Expected
from br3.plan.briefs.signs import slug


@dataclass
class TaskDraft:
    """A step. ``id`` is empty where the brief numbers none; ``detail`` are lines that tell more of it."""

    id: str
    title: str
    minutes: float | None = None
    detail: list[str] = field(default_factory=list)


@dataclass
class BuildDraft:
    """A build. ``said`` are numbered lines that become its prompt unless it has one in a fence (``prompt``).

    ``word`` and ``label``: how the brief calls it, ``build`` and ``A``. ``needs`` and ``after`` are as written, with
    their lines. ``weight``: how sure the title is.
    """

    line: int
    word: str = ""
    label: str = ""
    id: str = ""
    title: str = ""
    weight: int = 0
    branch: str = ""
    worktree: str = ""
    message: str = ""
    agent: str = ""
    model: str = ""
    minutes: float | None = None
    budget_usd: float | None = None
    prompt: str | None = None
    prompt_line: int = 0
    remark: str = ""
    said: list[tuple[int, str]] = field(default_factory=list)
    tasks: list[TaskDraft] = field(default_factory=list)
    deliverables: list[str] = field(default_factory=list)
    owns: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    verify: list[str] = field(default_factory=list)
    expected: Expected = NOTHING_EXPECTED
    hoped: Expected = NOTHING_EXPECTED
    """Minima that deliverables and criteria state; they count where the verification states none."""
    hoped_on: list[int] = field(default_factory=list)
    """The lines of criteria that state them."""
    needs: list[tuple[int, str]] = field(default_factory=list)
    after: list[tuple[int, str]] = field(default_factory=list)
    needs_builds: list[BuildDraft] = field(default_factory=list)
    squash: bool = False
    """Its own merge is to be squashed."""

    def named(self, title: str, weight: int) -> None:
        """Take the title, unless a surer one is known."""
        if title and weight > self.weight:
            self.title, self.weight = title, weight

    def aliases(self) -> list[str]:
        """How other lines may call it, the longest first."""
        words = {self.branch, self.worktree, self.id, self.title, slug(self.title)}
        if self.branch:
            words.add(self.branch.rpartition("/")[2])
        if self.label:
            words |= {f"{word} {self.label}" for word in (*_CALLED, self.word) if word} | {f"#{self.label}"}
        return sorted((word for word in words if len(word) > 1), key=len, reverse=True)


_CALLED = ("build", "prompt", "track", "stream", "workstream", "agent", "phase")


@dataclass
class CriterionDraft:
    """A line of the checklist."""

    line: int
    text: str


@dataclass(frozen=True)
class Note:
    """Something that the reader of the plan should know. ``line`` 0: of no line in particular."""

    line: int
    text: str


@dataclass
class Draft:
    """All of it. ``order``: builds in the order in which they land, as far as the brief says."""

    name: str = ""
    base: str = ""
    jobs: int | None = None
    budget_usd: float | None = None
    setup: list[str] = field(default_factory=list)
    copy: list[str] = field(default_factory=list)
    verify: list[str] = field(default_factory=list)
    expected: Expected = NOTHING_EXPECTED
    tag: str = ""
    message: str = ""
    push: bool = False
    remote: str = ""
    fetches: int = 0
    """The line on which the brief fetches base before it merges; 0: none."""
    agents: list[str] = field(default_factory=list)
    builds: list[BuildDraft] = field(default_factory=list)
    order: list[BuildDraft] = field(default_factory=list)
    order_said: list[tuple[int, str]] = field(default_factory=list)
    """The same as names that are still to be looked up, with their lines."""
    places: list[tuple[int, BuildDraft]] = field(default_factory=list)
    """The same as numbers in a column of a table."""
    criteria: list[CriterionDraft] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, line: int, text: str) -> None:
        """Remember what was assumed or changed, once."""
        if not any(note.text == text for note in self.notes):
            self.notes.append(Note(line, text))

    def build_of_branch(self, branch: str) -> BuildDraft | None:
        """The build that has this branch, or whose worktree or id is called so."""
        tail = branch.rpartition("/")[2]
        for build in self.builds:
            if branch and branch in (build.branch, build.worktree, build.id):
                return build
        return next(
            (b for b in self.builds if tail and not b.branch and tail in (b.worktree, b.id, slug(b.title))), None
        )

    def build_of_worktree(self, name: str) -> BuildDraft | None:
        """The build that works there."""
        return next((build for build in self.builds if name and name == build.worktree), None)

    def called(self, title: str, label: str = "", word: str = "") -> BuildDraft | None:
        """The build of that label, title, id or branch."""
        folded = normal(title)
        for build in self.builds:
            if label and build.label == label and same_word(build.word, word):
                return build
        for build in self.builds:
            names = {normal(name) for name in (build.title, build.id, build.branch, build.worktree) if name}
            if folded and folded in names | {name.rpartition("/")[2] for name in names}:
                return build
        return None

    def referred(self, text: str) -> list[BuildDraft]:
        """The builds that a text names, in the order of the text; single letters and numbers count in short lists."""
        spans: list[tuple[int, int, BuildDraft]] = []
        for build in self.builds:
            for alias in build.aliases():
                spans += _spans(text, alias, build)
            short = len(re.sub(r"\b(?:and|then|first|last|or|after|build|builds|phase)\b", "", text).split()) <= 12
            if build.label and short:
                edge = r"(?<![\w/.#-])" + re.escape(build.label) + r"(?![\w/]|\.\w|-\w)"
                spans += [(m.start(), m.end(), build) for m in re.finditer(edge, text)]
        found: list[tuple[int, int, BuildDraft]] = []
        for start, end, build in sorted(spans, key=lambda span: span[0] - span[1]):
            if all(end <= s or start >= e for s, e, _ in found):
                found.append((start, end, build))
        ordered = [build for _, _, build in sorted(found, key=lambda span: span[0])]
        return list({id(build): build for build in ordered}.values())


def _spans(text: str, alias: str, build: BuildDraft) -> Iterable[tuple[int, int, BuildDraft]]:
    edge = rf"(?<![\w/-]){re.escape(alias)}(?![\w/]|-\w)"
    return [(m.start(), m.end(), build) for m in re.finditer(edge, text, re.IGNORECASE)]


BUILDISH = frozenset(
    {"", "build", "prompt", "track", "stream", "workstream", "agent", "worktree", "lane", "session", "terminal", "team"}
)


def same_word(one: str, other: str) -> bool:
    """Whether two words mean the same series of labels: "Build A" and "Prompt A", but not "Day 1" and "Build 1"."""
    return one == other or (one in BUILDISH and other in BUILDISH)
