"""What the section of one build says, line by line; also what its prompt says.

A label ("Tasks:", a bold line, a heading) says what the lines below it are. What is not understood is said to the
build's agent: it becomes part of its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from br3.plan.briefs import paths, quantities
from br3.plan.briefs.commands import is_test, looks_like_command, looks_like_shell
from br3.plan.briefs.drafts import BuildDraft, Draft, TaskDraft
from br3.plan.briefs.finding import branch_in, is_prompt_fence
from br3.plan.briefs.labels import Role, pair, role_of, role_of_heading
from br3.plan.briefs.ledger import Ledger
from br3.plan.briefs.quantities import Expected
from br3.plan.briefs.signs import codes, plain, repaired, title
from br3.plan.briefs.structure import Part, mended, parts

Shell = Callable[[Part, BuildDraft | None, "Role | None"], bool]
"""Takes the commands of a fence; False when it holds none."""

_TASK_ID = re.compile(
    r"^(?:task|step|subtask)?\s*(?P<id>[A-Za-z]{1,4}[.-]?\d{1,3}(?:[.-]\d{1,3})*|\d{1,3}(?:\.\d{1,3})+)\s*(?:[:.)|–—-]+\s+|[:.)]\s*|\s+)(?P<title>\S.*)$",
    re.IGNORECASE,
)
_TASK_WORD = re.compile(
    r"^(?:task|step|subtask|part)\s+(?P<id>\d{1,3}|[A-Z])\s*[:.)–—-]+\s*(?P<title>\S.*)$", re.IGNORECASE
)
_NONE = re.compile(r"^(?:none|nothing|no|n/?a|–|—|-|nil|tbd)?\.?$", re.IGNORECASE)
_AGENTS = ("claude", "codex", "gemini", "opencode", "aider")
_MODEL = re.compile(
    r"\b(opus|sonnet|haiku|claude-[a-z0-9.-]+|gpt-[a-z0-9.-]+|o\d(?:-\w+)?|gemini-[a-z0-9.-]+)\b", re.IGNORECASE
)
_NUMBERED_LINE = re.compile(r"^\d{1,2}\.\d{1,2}[.):]?\s+[^\W\d]")
_CLAUSE = re.compile(
    r"(?P<label>[A-Za-z]+(?: (?:on|with|by|after|in))?)\s*:?\s+"
    r"(?P<value>`[^`]+`(?:\s*(?:,|and|\+|&)\s*(?:and\s+)?`[^`]+`)*)"
)
_NEEDED = re.compile(
    r"^(?:it |this )?(?:needs|depends on|requires|waits for|(?:is )?blocked by|builds on)\s+"
    r"(?:builds\s+)?(?P<whom>.+?)\.?$",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"(?:please )?(?:do not|don['’]t|never|must not) (?:touch|change|edit|modify|alter)\b", re.IGNORECASE
)
_WORK_IN = re.compile(r"^(?:works?|working) in\s+`?(?P<path>[\w./~-]*/[\w./-]+)`?\.?$", re.IGNORECASE)
_HEADS: frozenset[Role] = frozenset({"tasks", "deliverables", "verification", "owns", "needs", "setup", "expected"})
_SHORT: frozenset[Role] = frozenset({"branch", "worktree", "minutes", "budget", "agent", "model", "tests", "coverage"})


def agent_in(text: str) -> str:
    """The coding agent that a text names, by its br3 name; empty when it names none."""
    found = [name for name in _AGENTS if re.search(rf"\b{name}\b", text, re.IGNORECASE)]
    return found[0] if len(found) == 1 else ""


def both(one: Expected, other: Expected) -> Expected:
    """What is stated, the first one first."""
    return Expected(
        other.min_passed if one.min_passed is None else one.min_passed,
        other.min_coverage if one.min_coverage is None else one.min_coverage,
    )


def _names(build: BuildDraft, text: str) -> bool:
    """Whether a text is the name of a build and cannot be a plain word: "it needs tests" is no build called Tests."""
    if codes(text):
        return codes(text)[0] in build.aliases()
    shown = plain(text)
    if shown in (build.label, build.title):
        return shown != shown.casefold() or shown.isdecimal()
    return " " in shown and shown.casefold() in {alias.casefold() for alias in build.aliases()}


class Facts:
    """Reads parts into one build. ``inside``: they are of its prompt, whose lines stand in the plan anyway."""

    def __init__(self, draft: Draft, build: BuildDraft, ledger: Ledger, shell: Shell, *, inside: bool = False) -> None:
        self.draft, self.build, self.ledger, self.shell, self.inside = draft, build, ledger, shell, inside
        self.role: Role | None = None
        self.task: TaskDraft | None = None
        self.task_level = 0
        self.pending: list[Part] = []
        self.table: tuple[str, ...] = ()
        self.listing = False
        """The table lists what the build owns or delivers."""
        self.ticking = False
        """Its tasks are ticked off as they are done: some are not."""
        self.inline = False
        """The label had its value beside it, so that only items can still belong to it."""

    def read(self, found: Iterable[Part]) -> None:
        """Take all parts, in their order."""
        found = list(found)
        self.ticking = any(part.checked is False for part in found)
        for part in found:
            if part.kind != "row":
                self.table = ()
            match part.kind:
                case "heading":
                    self._heading(part)
                case "fence":
                    self._fence(part)
                case "row":
                    self._row(part)
                case "text":
                    self._line(part)
                case "item":
                    self._item(part)
                case _:
                    self.task = None

    # -- kinds of parts ---------------------------------------------------------------------------------------------

    def _heading(self, part: Part) -> None:
        self.task, self.pending, self.inline = None, [], False
        self.role = role_of_heading(part.text)
        said = title(part.text)
        numbered = _TASK_WORD.match(said) or (_TASK_ID.match(said) if self.role is None else None)
        if numbered and (self.role is None or self.role == "tasks"):
            self._task(part, said)
            self.task_level = 0
            self.role = None
            return
        self._label(part)

    def _label(self, part: Part) -> None:
        """A line that only says what follows. One that is not known stands for itself, if something follows."""
        if self.role is None or self.role == "prompt":
            self.pending.append(part)
        else:
            self._placed(part, "structure")

    def _fence(self, part: Part) -> None:
        if is_prompt_fence(part) and not self.inside and self.build.prompt is None and not self.task:
            self._placed_lines(part.numbers, "whole")
            for before in self.pending:  # "Paste this into Claude Code:"
                self._placed(before, "structure")
            self.pending = []
            self.build.prompt, self.build.prompt_line = part.text, part.content[0][0]
            lines = [line for _, line in part.content]
            inner = Facts(self.draft, self.build, self.ledger, self.shell, inside=True)
            inner.read(parts(mended(lines)[0], part.content[0][0] - 1))
            return
        if self.task is None and self.shell(part, self.build, self.role):
            return
        self._say(part)

    def _row(self, part: Part) -> None:
        """A table of tasks; any other is said to the agent as it stands."""
        if part.head:
            roles = [role_of(cell) for cell in part.cells]
            names = [plain(cell).strip().lower() for cell in part.cells]
            is_tasks = any(role == "tasks" or name == "step" for role, name in zip(roles, names, strict=True)) or (
                self.role == "tasks"
            )
            self.listing = self.role in ("owns", "deliverables") and not is_tasks
            if self.listing:
                self._placed(part, "structure")
                return
            self.table = part.cells if is_tasks else ()
            if not is_tasks:
                self._say(part)
                self._say_raw(part.last + 1)
            else:
                self._placed(part, "structure")
            return
        if self.listing:
            if not self.apply(part, self.role, part.cells[0], listed=True):
                self._say(part)
            return
        if not self.table:
            self._say(part)
            return
        cells = dict(zip((plain(c).strip().lower() for c in self.table), part.cells, strict=False))
        name = next((v for k, v in cells.items() if role_of(k) in ("tasks", "title") or k in ("step", "name")), "")
        number = next((v for k, v in cells.items() if k in ("#", "id", "no", "nr")), "")
        length = next((v for k, v in cells.items() if role_of(k) == "minutes"), "")
        made = self.made_task(f"{plain(number)}: {plain(name)}" if number else plain(name))
        if length and made.minutes is None:
            unit = next((k for k in cells if role_of(k) == "minutes"), "")
            made.minutes = quantities.minutes(length) or quantities.minutes(f"{length} {'h' if 'h' in unit else 'min'}")
        more = [f"{k}: {v}" for k, v in cells.items() if v and v not in (name, number, length)]
        made.detail += more
        self.build.tasks.append(made)
        self._placed(part)

    def _line(self, part: Part) -> None:
        text = part.text.strip()
        said = pair(text)
        if self.inline:
            self.role, self.inline = None, False
        if _NUMBERED_LINE.match(text) and self.role in (None, "prompt", "tasks"):
            self._task(part, text)
            self.task_level = 1
            return
        if said is None and (self._clauses(part, text) or self._needed(part, text)):
            return
        place = _WORK_IN.match(text)
        if place and self._worktree(part, place["path"]):
            return
        if said is None and len(text.split()) <= 3 and role_of(text) in _HEADS and not re.search(r"[.,;]$", text):
            self.role, self.task = role_of(text), None
            self._label(part)
            return
        if said is not None:
            role = role_of(said[0])
            if role is not None and not (role == "title" and not said[1]):
                self._pair(part, role, *said)
                return
            if not said[1] and not (self.task and part.level > self.task_level):
                self.role, self.task = None, None
                self.pending.append(part)
                return
            if self.inside and said[0].isupper():
                self.role = None
        elif self.inside and re.match(r"#{1,6}\s", text):
            self.role = role_of_heading(text)
            return
        if self.task is not None and part.level >= max(self.task_level, 1):
            self.task.detail.append(part.text)
            self._placed(part)
            return
        self.task = self.task if self.task is not None and self.task_level == 0 else None
        if self.task is not None:
            self.task.detail.append(part.text)
            self._placed(part)
            return
        if not self.apply(part, self.role, text, listed=False):
            self._say(part)

    def _clauses(self, part: Part, text: str) -> bool:
        """Take a sentence of labels and values in code signs: "Branch `x`, worktree `../y`. Owns `a/` and `b/`."."""
        found = [m for m in _CLAUSE.finditer(text) if role_of(m["label"]) not in (None, "prompt", "title")]
        rest = text
        for clause in found:
            rest = rest.replace(clause[0], "")
        if self.task is not None or not found or len(re.findall(r"\w{3,}", rest)) > 3 or paths.forbids(text):
            return False
        done = [self.apply(part, role_of(m["label"]), m["value"], listed=False, labelled=True) for m in found]
        return all(done)

    def _needed(self, part: Part, text: str) -> bool:
        """Take a sentence that says which builds it needs, and nothing else: "Depends on build A and build B."."""
        said = _NEEDED.match(text)
        if said is None or self.task is not None:
            return False
        pieces = re.split(r"\s*,\s*(?:and\s+)?|\s+(?:and|&)\s+", said["whom"])
        if not all(any(_names(build, piece) for build in self.draft.builds) for piece in pieces):
            return False
        return self.apply(part, "needs", ", ".join(pieces), listed=False, labelled=True)

    def _pair(self, part: Part, role: Role, label: str, value: str) -> None:
        if self.task is not None and part.level > self.task_level > 0 and role not in _SHORT:
            self.task.detail.append(part.text)
            self._placed(part)
            return
        self.task = None
        if not value:
            self.role, self.inline = role, False
            self._label(part)
            return
        if agent_in(label):
            self._agent(agent_in(label))
        if not self.apply(part, role, value, listed=False, labelled=True):
            self._say(part)
        self.role, self.inline = (role, True) if role not in _SHORT else (self.role, self.inline)

    def _item(self, part: Part) -> None:
        if self.task is not None and part.level > self.task_level:
            self.task.detail.append(f"{'  ' * (part.level - self.task_level - 1)}- {part.text}")
            self._placed(part)
            return
        of_heading = self.task is not None and self.task_level == 0
        if self.task is not None and not of_heading:
            self.task = None
        said = pair(part.text)
        role = role_of(said[0]) if said else None
        if said and role and role != "title" and not (self.role == "tasks" and role in ("prompt", "setup", "tests")):
            self._pair(part, role, *said)
            return
        if of_heading and self.task is not None:
            self.task.detail.append(f"- {part.text}")
            self._placed(part)
            return
        timed = quantities.split_minutes(part.text)[1] is not None
        if said is None and self.role in (None, "prompt") and self._needed(part, part.text):
            return
        # A label before a text of its own, such as Owns: src/, does not speak of the list below it.
        if (part.checked is not None or timed) and (self.inline or self.role in (None, "prompt")):
            self._task(part, part.text)
            return
        if not self.apply(part, self.role, part.text, listed=True):
            self._say(part)

    # -- what a line means ------------------------------------------------------------------------------------------

    def apply(self, part: Part, role: Role | None, text: str, *, listed: bool, labelled: bool = False) -> bool:
        """Take a text in the role that its label gives it; False when it says nothing of that kind."""
        build = self.build
        match role:
            case "tasks" if listed or labelled:
                for piece in [text] if listed else _pieces(text):
                    self._task(part, piece)
                return True
            case "branch":
                name = branch_in(text) or next(iter(codes(text)), "") or plain(text).split(" ")[0]
                build.branch = build.branch or name.strip(",.;")
            case "worktree":
                return self._worktree(part, text)
            case "title" if labelled:
                build.named(title(text), 4)
            case "deliverables":
                self._deliverable(text, part, listed=listed or labelled)
                if not (listed or labelled):
                    return False
            case "owns":
                sentences = re.split(r"(?<=[.;])\s+", text)
                allowed = [sentence for sentence in sentences if not paths.forbids(sentence)]
                found = [path for sentence in allowed for path in paths.named(sentence, sure=True)]
                build.owns += [paths.as_owned(path) for path in found]
                if not found or len(allowed) < len(sentences):
                    return False  # what it may not change is for the agent to know
            case "verification" | "run" | "expected" | "tests" | "coverage":
                return self._verification(part, role, text)
            case "criteria":
                for command in codes(text):
                    if is_test(command) and not self.inside:
                        build.verify.append(command)
                build.hoped = both(build.hoped, quantities.expected(text))
                if not self.inside and codes(text):
                    self._placed(part)
                elif not self.inside and quantities.expected(text):
                    build.hoped_on += part.numbers
                return False
            case "needs" | "after" if labelled or listed:
                if role == "needs" and self.inside and not labelled:
                    return False
                if not _NONE.match(plain(text)):
                    (build.needs if role == "needs" else build.after).append((part.first, text))
            case "message":
                build.message = build.message or next(iter(codes(text)), plain(text)).strip("\"'“”")
            case "setup":
                return self._setup(part, text)
            case "agent":
                if not agent_in(text):
                    return False
                self._agent(agent_in(text))
            case "model":
                found_model = _MODEL.search(text)
                if not found_model:
                    return False
                build.model = found_model[1].lower()
            case "minutes":
                build.minutes = quantities.minutes(plain(text)) or build.minutes
                if build.minutes is None:
                    return False
            case "budget":
                build.budget_usd = quantities.usd(text)
                if build.budget_usd is None:
                    return False
            case _:
                return False
        self._placed(part)
        return True

    def _worktree(self, part: Part, text: str) -> bool:
        command = next(iter(codes(text)), plain(text))
        found = re.match(r"(?:cd\s+)?(?P<path>\"[^\"]+\"|'[^']+'|[^\s;&]+)", command.strip())
        name = paths.name_of(found["path"]) if found else ""
        if not name or name in (".", ".."):
            return False
        self.build.worktree = self.build.worktree or name
        self._placed(part, "meaning")
        return True

    def _agent(self, name: str) -> None:
        self.build.agent = self.build.agent or name

    def _task(self, part: Part, text: str) -> None:
        if part.checked and self.ticking:
            self.task = None
            return  # it is done, and listed as not placed
        if not re.search(r"[^\W\d_]", text) or (part.checked is None and _FORBIDDEN.match(plain(text))):
            self.task = None
            self._say(part)
            return
        self.task = self.made_task(text)
        self.task_level = part.level
        self.build.tasks.append(self.task)
        self._placed(part)

    def made_task(self, text: str) -> TaskDraft:
        shown = repaired(plain(text)).strip()
        found = _TASK_ID.match(shown) or _TASK_WORD.match(shown)
        name, length, behind = quantities.split_minutes(found["title"] if found else shown)
        made = TaskDraft(found["id"] if found else "", title(name).rstrip("."), length)
        if behind:
            made.detail.append(behind)
        elif length is None:
            # "Write the parser – recursive descent, no generator": the title ends at the dash.
            cut = re.split(r"\s+[–—]\s+|\s+->\s+|\s+→\s+", made.title, maxsplit=1)
            if len(cut) == 2 and len(cut[0]) >= 4:
                made.title = cut[0]
                made.detail.append(cut[1])
        return made

    def _deliverable(self, text: str, part: Part, *, listed: bool) -> None:
        if listed:
            (self.build.deliverables if not self.inside else []).append(plain(text))
        self.build.hoped = both(self.build.hoped, quantities.expected(text))
        if paths.forbids(text) or (part.level > 1 and self.inside):
            return
        found = paths.named(text)
        inside_of = [path for path in found if path.endswith("/")]
        for path in found:
            # "core/ai/ with client.py, keys.py": the names are of files in that directory.
            if "/" not in path and inside_of and "test" not in path:
                continue
            self.build.owns.append(paths.as_owned(path))

    def _verification(self, part: Part, role: Role, text: str) -> bool:
        build = self.build
        wanted = quantities.expected(text)
        alone = plain(text)
        if role == "tests" and (count := quantities.count_alone(alone)) is not None:
            wanted = Expected(count)
        if role in ("tests", "expected") and not wanted and (count := quantities.count_alone(alone)) is not None:
            wanted = Expected(count)
        if role == "coverage" and (percent := quantities.percent_alone(alone)) is not None:
            wanted = Expected(None, percent)
        found = [code for code in codes(text) if looks_like_command(code)]
        if not found and role in ("run", "verification") and not codes(text) and looks_like_command(alone):
            found = [re.sub(r"\s*\([^()]*\)\s*$", "", alone) if wanted else alone]
        if not found and role == "run" and alone:
            found = [alone]
        known = [*found, *re.findall(r"\b\d+\S*", alone)]
        rest = alone
        for piece in known:
            rest = rest.replace(piece, " ")
        for command in found:
            if command not in build.verify:
                build.verify.append(command)
        build.expected = both(build.expected, wanted)
        if not found and not wanted:
            return False
        if len(re.findall(r"[A-Za-z]{3,}", rest)) > 6 and not self.inside:
            return False  # it says more: the agent is told the whole line
        self._placed(part)
        return True

    def _setup(self, part: Part, text: str) -> bool:
        found = [code for code in codes(text) if looks_like_command(code)]
        if not found and looks_like_command(plain(text)):
            found = [plain(text)]
        if not found and not self.inside:
            names = codes(text) or [word for word in re.split(r"[\s,]+", plain(text)) if word]
            if names and all(re.fullmatch(r"[A-Za-z][\w.-]*(?:\[\w+\])?(?:[<>=~^!]=?[\w.*]+)?", n) for n in names):
                found = [f"pip install {' '.join(names)}"]
                self.draft.note(part.first, f"taken for Python packages: {' '.join(names)}")
        if not found or self.inside:
            return False
        self.build.setup += [command for command in found if command not in self.build.setup]
        self._placed(part)
        return True

    # -- what becomes of lines --------------------------------------------------------------------------------------

    def _say(self, part: Part) -> None:
        """It is told to the agent as it stands, with the label before it."""
        if self.inside:
            return
        for before in self.pending:
            for number in before.numbers:
                self._say_raw(number)
        self.pending = []
        for number in part.numbers:
            self._say_raw(number)

    def _say_raw(self, number: int) -> None:
        if number <= len(self.ledger.lines):
            self.build.said.append((number, self.ledger.lines[number - 1]))

    def _placed(self, part: Part, fate: str = "values") -> None:
        self._placed_lines(part.numbers, fate)
        if fate != "structure":
            for before in self.pending:
                self._placed_lines(before.numbers, "structure")
            self.pending = []

    def _placed_lines(self, numbers: Iterable[int], fate: str) -> None:
        if not self.inside:
            self.ledger.place(numbers, fate)  # type: ignore[arg-type]


def _pieces(text: str) -> list[str]:
    """The entries of a list that stands on one line."""
    for mark in (r"<br\s*/?>", r";", r"\s+[→·•]\s+", r"\s*->\s*"):
        found = [piece.strip() for piece in re.split(mark, text) if piece.strip()]
        if len(found) > 1:
            return found
    found = [piece.strip() for piece in re.split(r",\s+(?![^()]*\))", text) if piece.strip()]
    return found if len(found) > 1 and all(len(piece.split()) <= 8 for piece in found) else [text]


def looks_like_block(part: Part) -> bool:
    """Whether a fence holds commands."""
    return looks_like_shell([line for _, line in part.content])
