"""Which parts of a brief are builds: by headings, tables, lists, front matter and worktrees."""

from __future__ import annotations

import re
from dataclasses import dataclass

from br3.plan.briefs.commands import SHELLS, looks_like_shell
from br3.plan.briefs.labels import Role, pair, role_of, role_of_heading
from br3.plan.briefs.signs import codes, plain, repaired, title
from br3.plan.briefs.structure import Part, Section

_WORDS = (
    "build|prompt|phase|track|stream|work ?stream|agent|work ?tree|epic|feature|milestone|work ?package|package|lane"
    "|ticket|issue|pr|stage|component|session|terminal|team|job|story|wave|sprint|week|day|step|task|part|module|branch"
)
_LABEL = r"(?-i:\d{1,5}|[A-Z]|[IVX]{2,4}|[A-Z]\d{1,2})"
_STRONG = re.compile(
    rf"^(?:\d+[.)]\s*)?(?P<word>{_WORDS})s?\s*#?\s*(?P<label>{_LABEL})"
    r"(?:\s*[:.)|/—–-]+\s*(?P<title>\S.*)|\s+(?P<rest>\S.*))?$",
    re.IGNORECASE,
)
_WORD_ONLY = re.compile(rf"^(?:\d+[.)]\s*)?(?P<word>{_WORDS})\s*[:—–|]\s*(?P<title>\S.*)$", re.IGNORECASE)
_WEAK = re.compile(rf"^(?:#(?P<issue>\d+)\s*[:.—–-]?|(?P<label>{_LABEL})(?:[.):]|\s*[—–-]))\s+(?P<title>\S.*)$")
_BRANCH = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)+")
_IN_BRACKETS = re.compile(
    r"\s*[(\[—–-]\s*`?(?P<branch>(?:build|feature|feat|fix|chore|docs|refactor|wip|agent|bugfix|task|hotfix|test|tests|perf)/[\w./-]+)`?\s*[)\]]?\s*$"
)
SEQUENCES = frozenset({"phase", "stage", "wave", "milestone", "step"})
_CONTAINERS = SEQUENCES | {"sprint", "week", "day"}
_NEED_EVIDENCE = _CONTAINERS | {
    "task",
    "part",
    "module",
    "issue",
    "ticket",
    "story",
    "job",
    "component",
    "pr",
    "branch",
    "package",
}
GLOBAL: frozenset[Role] = frozenset(
    {"setup", "landing", "release", "verification", "criteria", "cleanup", "expected", "tag"}
)
_EVIDENCE: frozenset[Role] = frozenset(
    {"branch", "worktree", "tasks", "deliverables", "owns", "verification", "needs", "run"}
)


@dataclass(frozen=True)
class Heading:
    """A heading read as a build's name. ``sure``: it says so itself; ``adds``: it only tells more of that build."""

    word: str
    label: str
    title: str
    sure: bool
    adds: bool = False
    branch: str = ""


def heading(text: str) -> Heading | None:
    """What a heading says of a build; None when it cannot be one's name."""
    branch = branch_in(text)
    shown = title(_IN_BRACKETS.sub("", text)) if branch else title(text)
    strong = _STRONG.match(shown)
    if strong:
        word = re.sub(r"\s", "", strong["word"].lower())
        rest = strong["rest"] or ""
        adds = bool(rest) and (rest.endswith("?") or role_of_heading(rest) is not None)
        return Heading(word, strong["label"], strong["title"] or ("" if adds else rest), True, adds, branch)
    only = _WORD_ONLY.match(shown)
    if only and role_of(only["title"]) is None:
        return Heading(re.sub(r"\s", "", only["word"].lower()), "", only["title"], True, False, branch)
    weak = _WEAK.match(shown)
    if weak:
        return Heading("", weak["issue"] or weak["label"] or "", weak["title"], False, False, branch)
    return Heading("", "", shown, bool(branch), False, branch) if shown else None


def branch_in(text: str) -> str:
    """The branch that stands in code signs, or in brackets at the end with a usual beginning."""
    for code in codes(text):
        if _BRANCH.fullmatch(code) and not re.search(r"\.\w{1,4}$", code) and not code.endswith("/"):
            return code
    found = _IN_BRACKETS.search(repaired(text))
    return found["branch"] if found else ""


def is_prompt_fence(part: Part) -> bool:
    """Whether a fence is text for an agent and not commands, code or output."""
    if part.kind != "fence" or (part.mark == "indented" and looks_like_shell([line for _, line in part.content])):
        return False
    word = part.mark.split()[0].lower().strip("{}.") if part.mark and part.mark != "indented" else ""
    if word in SHELLS or (
        word and word not in ("text", "txt", "markdown", "md", "prompt", "plaintext", "plain", "xml")
    ):
        return False
    lines = [line for line in part.text.splitlines() if line.strip()]
    if not lines or looks_like_shell(lines):
        return False
    words = sum(len(line.split()) for line in lines)
    return words >= 8 and (word != "" or words / len(lines) >= 2.5)


def evidence(section: Section, *, deep: bool = True) -> set[Role]:
    """The roles of what stands in a section, as far as builds have them; ``prompt`` for a prompt in a fence."""
    found: set[Role] = set()
    for part in section.everything() if deep else section.parts:
        if is_prompt_fence(part):
            found.add("prompt")
        elif part.kind == "heading":
            role = role_of(part.text)
            found |= {role} & _EVIDENCE if role else set()
        elif part.kind in ("text", "item"):
            said = pair(part.text)
            role = role_of(said[0]) if said else None
            found |= {role} & _EVIDENCE if role else set()
            if part.checked is not None:
                found.add("tasks")
    return found


def build_sections(root: Section) -> dict[int, Heading]:
    """The sections that are builds, by their line. A section inside a build is none."""
    found: dict[int, Heading] = {}
    # A heading above everything else is the title of the document.
    _look(root.sections[0] if len(root.sections) == 1 else root, found, False)
    return found


def _look(section: Section, found: dict[int, Heading], in_list: bool) -> None:
    siblings = [heading(child.title) for child in section.sections]
    weak = [h for h in siblings if h is not None and not h.sure and h.label]
    for child, said in zip(section.sections, siblings, strict=True):
        role = role_of_heading(child.title)
        if said is not None and _is_build(child, said, role, in_list, many=len(weak) > 1):
            found[child.line] = said
            continue
        holds = role == "builds" or (in_list and role is None and bool(child.sections) and not _direct(child))
        _look(child, found, holds)


def _direct(section: Section) -> bool:
    return bool(section.parts)


def _is_build(section: Section, said: Heading, role: Role | None, in_list: bool, *, many: bool) -> bool:
    if said.adds or (said.sure and role_of(said.title) in GLOBAL) or (not said.sure and role in GLOBAL | {"builds"}):
        return False
    shown = evidence(section)
    inner = [heading(child.title) for child in section.sections]
    if said.word in _CONTAINERS and any(h is not None and h.sure and h.word not in ("task", "step") for h in inner):
        return False
    if said.sure and said.word not in _NEED_EVIDENCE:
        return not (role == "builds" and not said.label and not shown)
    if said.sure:
        return bool(shown)
    if {"branch", "worktree"} & evidence(section, deep=False):
        return True
    return (in_list or (many and bool(said.label))) and bool(shown) and section.level > 1


def raised(found: list[Part], lines: list[str]) -> list[Part]:
    """The parts with lines as headings that are written as names of builds: "**Build A: Search**", "Build 1: payments".

    Only where there are several of them, and no headings of that kind. What follows such a line indented belongs to it.
    """
    if any(part.kind == "heading" and (h := heading(part.text)) is not None and h.sure and h.label for part in found):
        return found
    names = {id(part) for part in found if _is_name(part, lines)}
    if len(names) < 2:
        return found
    out: list[Part] = []
    level, indented = 1, False
    for part in found:
        if id(part) in names:
            level = max((p.level for p in out if p.kind == "heading" and p.mark != "raised"), default=0) + 1
            out.append(Part("heading", part.first, part.last, part.text.strip().strip("*_"), level, "raised"))
            after = lines[part.last] if part.last < len(lines) else ""
            indented = after.startswith((" ", "\t")) and bool(after.strip())
            continue
        if indented and part.kind == "text" and not lines[part.first - 1].startswith((" ", "\t")):
            out.append(Part("heading", part.first - 1, part.first - 1, "", level, "raised"))
            indented = False
        out.append(part)
    return out


def _is_name(part: Part, lines: list[str]) -> bool:
    before = lines[part.first - 2].strip() if part.first > 1 else ""
    if part.kind != "text" or part.level or before or len(part.text.split()) > 10:
        return False
    said = heading(part.text.strip().strip("*_"))
    bold = re.fullmatch(r"(\*\*|__).+\1:?", part.text.strip()) is not None
    return said is not None and said.sure and bool(said.label) and not said.adds and (bold or bool(said.title))


_NAME_IN_ITEM = re.compile(r"^(?:\*\*|__)(?P<name>.+?)(?:\*\*|__)\s*(?P<rest>.*)$")
_ARROW = re.compile(r"^\s*(?:[-–—:→|]+|->|=>)\s*")


def item(text: str) -> tuple[Heading, str] | None:
    """An item read as the name of a build, and what it says besides: ``**Build A: Search** → find entries``."""
    bold = _NAME_IN_ITEM.match(text)
    if bold:
        said = heading(bold["name"].rstrip(":"))
        rest = bold["rest"]
    else:
        cut = re.split(r"\s+(?:[—–→]|->|=>|-)\s+", repaired(plain(text)), maxsplit=1)
        said = heading(cut[0].rstrip(":"))
        rest = cut[1] if len(cut) > 1 else ""
        if said is None or not (said.sure and said.label):
            return None
    if said is None or (said.adds and not said.title) or role_of(said.title or "x") is not None:
        return None
    rest = _ARROW.sub("", repaired(rest)).strip()
    branch = said.branch or branch_in(rest)
    if not said.branch and branch:
        said = Heading(said.word, said.label, said.title, said.sure, said.adds, branch)
    return said, rest


def naming_column(cells: tuple[str, ...]) -> tuple[int, int]:
    """Which columns of a table hold the label and the name of a build; -1 for none."""
    label = name = -1
    for at, cell in enumerate(cells):
        shown = plain(cell).strip().lower().rstrip(".:")
        if label < 0 and shown in ("#", "id", "no", "nr", "key", "letter", "num", "label", "ref"):
            label = at
        elif (name < 0 and role_of(cell) == "title") or (
            name < 0 and shown in ("name", "agent", "worktree name", "component", "module", "area", "task")
        ):
            name = at
    if name < 0 and label < 0:
        return -1, -1
    if name < 0:
        name = label
        label = -1
    return label, name


def is_table_of_builds(head: tuple[str, ...]) -> bool:
    """Whether the head of a table says that its rows are builds."""
    _, name = naming_column(head)
    roles = {role_of(cell) for at, cell in enumerate(head) if at != name}
    telling = roles & {"branch", "worktree", "owns", "verification", "run", "deliverables", "tasks", "prompt", "needs"}
    called = plain(head[name]).strip().lower() if name >= 0 else ""
    return name >= 0 and (
        bool({"branch", "worktree"} & roles)
        or (bool(telling) and re.match(_WORDS, called) is not None and called != "task")
    )
