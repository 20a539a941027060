"""The commands of a brief, put where the plan has a place for them.

Which build a command is of is told by the directory that it runs in, else by the section it stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from br3.plan.briefs import paths, quantities
from br3.plan.briefs.commands import SHELLS, Command, brought, commands, git, looks_like_shell
from br3.plan.briefs.drafts import BuildDraft, Draft
from br3.plan.briefs.facts import agent_in, both
from br3.plan.briefs.labels import Role
from br3.plan.briefs.ledger import Ledger
from br3.plan.briefs.paths import Machine
from br3.plan.briefs.signs import codes
from br3.plan.briefs.structure import Part, Section


@dataclass(frozen=True)
class Added:
    """A worktree that the brief adds."""

    line: int
    path: str
    branch: str
    start: str


def lines_of(part: Part) -> list[tuple[int, str]] | None:
    """The lines of a fence that holds commands; None of any other part."""
    if part.kind != "fence":
        return None
    word = part.mark.split()[0].lower().strip("{}.") if part.mark and part.mark != "indented" else ""
    if word in SHELLS or (not word and looks_like_shell([line for _, line in part.content])):
        return part.content
    return None


def worktrees_added(root: Section, machine: Machine) -> list[Added]:
    """Every ``git worktree add`` of a brief; the machine's paths are noted on the way."""
    found: list[Added] = []
    for part in root.everything():
        lines = lines_of(part)
        if lines is None and part.kind in ("text", "item"):
            lines = [(part.first, code) for code in codes(part.text) if code.startswith(("git worktree add", "cd "))]
        entered = ""
        for command in commands(lines or []):
            if command.does == "enter" and len(command.words) > 1:
                entered = command.words[1]
            done = git(command) if command.does == "git" else None
            if done is None or done.act not in ("worktree", "merge"):
                continue
            if paths.ABSOLUTE.fullmatch(entered):
                machine.main.add(paths.clean(entered))
            if done.act == "worktree" and done.path:
                path = paths.clean(done.path)
                machine.worktrees[path] = paths.name_of(path)
                found.append(Added(command.line, path, done.branch, done.start))
    for main in list(machine.main):
        machine.main -= {main} if main in machine.worktrees else set()
    return found


_OF_A_LOOP = re.compile(r"\s*(?:for \w+ in .*|do|done)\s*;?\s*(?:do)?$")


class Shelling:
    """Takes commands. The directory counts within one block."""

    def __init__(self, draft: Draft, ledger: Ledger, machine: Machine) -> None:
        self.draft, self.ledger, self.machine = draft, ledger, machine

    def take(self, part: Part, build: BuildDraft | None, role: Role | None) -> bool:
        """Take the commands of a fence; False when it holds none, or none that is known here."""
        lines = lines_of(part)
        if lines is None:
            return False
        known = [c for c in commands(lines) if c.does not in ("other", "comment", "print")]
        if not known and role not in ("verification", "run", "setup"):
            return False
        taken = self.run(lines, build, role)
        if taken:
            edges = [number for number in (part.first, part.last) if number not in dict(lines)]
            self.ledger.place(edges, "structure")
        return taken

    def run(self, lines: list[tuple[int, str]], build: BuildDraft | None, role: Role | None) -> bool:
        """Take these commands; whether any of them found its place."""
        block = _Block(self, build, role)
        for command in commands(lines):
            block.take(command)
        for number, line in lines:
            if block.taken and _OF_A_LOOP.match(line):
                self.ledger.place([number], "meaning")
        return block.taken


class _Block:
    """One run of commands: where it is, what was merged or tested last, and comments that wait for what they are of."""

    def __init__(self, whole: Shelling, build: BuildDraft | None, role: Role | None) -> None:
        self.draft, self.ledger, self.machine = whole.draft, whole.ledger, whole.machine
        self.own = self.build = build
        self.role = role
        self.below = ""
        self.merged: BuildDraft | None = None
        self.tested = False
        self.comments: list[int] = []
        self.taken = False

    def take(self, command: Command) -> None:
        """One command, in its turn."""
        match command.does:
            case "comment":
                self._comment(command)
                return
            case "enter":
                self._enter(command)
            case "open":
                self._open(command)
            case "activate" | "print":
                pass
            case "git":
                if not self._git(command):
                    self.ledger.partly(command.line)
                    return
            case "environment" | "install":
                self._setup(command)
            case "bring":
                name = brought(command)
                if name is None:
                    self.ledger.partly(command.line)
                    return
                if name not in self.draft.copy:
                    self.draft.copy.append(name)
            case "test" if self.role != "setup":
                self._verify(command)
            case _ if self.role in ("verification", "run"):
                self._verify(command)
            case "test":
                self._setup(command)
            case _ if self.role == "setup" and (self.build is not None or command.each):
                self._setup(command)
            case _:
                self.ledger.partly(command.line)
                return
        self._done(command.line)

    def _done(self, line: int) -> None:
        self.taken = True
        self.ledger.place([*self.comments, line], "meaning")
        self.comments = []

    def _comment(self, command: Command) -> None:
        wanted = quantities.expected(command.text)
        if wanted and self.tested:
            if self.build is not None:
                self.build.expected = both(self.build.expected, wanted)
            else:
                self.draft.expected = both(self.draft.expected, wanted)
            self.ledger.place([command.line], "meaning")
            return
        meant = self.draft.referred(command.text)
        if (
            self.own is None
            and len(meant) == 1
            and self.role in ("verification", "setup")
            and len(command.text.split()) <= 6
        ):
            self.build = meant[0]
        if self.ledger.fate(command.line) is None:
            self.comments.append(command.line)

    def _enter(self, command: Command) -> None:
        path = command.words[1] if len(command.words) > 1 else "~"
        if "*" in path:  # all worktrees
            self.build, self.below = None, ""
            return
        name = self.machine.worktree_of(path)
        self.below = ""
        if name is not None:
            self.build = self.draft.build_of_worktree(name) or self.own
            inner = paths.clean(path).partition(f"{name}/")[2]
            self.below = inner
        elif (
            self.machine.is_main(path)
            or paths.ABSOLUTE.fullmatch(path)
            or path in ("~", "-", "..", ".")
            or path.startswith("../")
        ):
            if paths.ABSOLUTE.fullmatch(path):
                self.machine.main.add(paths.clean(path))
            self.build = self.own
        elif path.startswith("$"):
            self.build = self.own
        else:
            self.below = path.rstrip("/")

    def _open(self, command: Command) -> None:
        agent = agent_in(command.words[0]) if command.words else ""
        if not agent:
            return
        if self.build is None:
            self.draft.agents.append(agent)
            return
        self.build.agent = self.build.agent or agent
        said = [word for word in command.words[1:] if len(word.split()) >= 4]
        if said and self.build.prompt is None:
            self.build.prompt, self.build.prompt_line = f"{said[0]}\n", command.line

    def _here(self, command: Command) -> str:
        """The command as it is in a worktree of this repository."""
        text, foreign = self.machine.here(command.text)
        if text != command.text and re.search(r"pip3? install .*(?:-e|--editable)", text):
            self.draft.note(
                command.line,
                "the brief installs its main checkout into each worktree's environment, whose tests would then import "
                f"the wrong code; here a worktree installs itself: {text}",
            )
        for path in foreign:
            self.draft.note(command.line, f"{path} in a command is a path of another machine, left as it is")
        return f"cd {self.below} && {text}" if self.below else text

    def _setup(self, command: Command) -> None:
        text = self._here(command)
        if command.does == "environment":
            made = command.words[-1] if len(command.words) > 2 else ""
            if made in ("venv", "env", ".env", "virtualenv"):
                text = re.sub(rf"\b{re.escape(made)}$", ".venv", text)
                self.draft.note(command.line, f"the environment is called .venv, where br3 looks for it, not {made}")
        target = self.build.setup if self.build is not None else self.draft.setup
        if text not in target:
            target.append(text)

    def _verify(self, command: Command) -> None:
        text = self._here(command)
        target = self.build.verify if self.build is not None else self.draft.verify
        if text not in target:
            target.append(text)
        self.tested = True

    def _git(self, command: Command) -> bool:
        draft, said = self.draft, git(command)
        match said.act:
            case "worktree":
                build = (
                    draft.build_of_branch(said.branch) or draft.build_of_worktree(paths.name_of(said.path)) or self.own
                )
                if build is not None:
                    build.branch = build.branch or said.branch
                    build.worktree = build.worktree or paths.name_of(said.path)
                    name = paths.clean(said.path)
                    self.machine.worktrees.setdefault(name, build.worktree)
                return build is not None
            case "branch":
                build = self.build or draft.build_of_branch(said.branch)
                if build is None:
                    return False
                build.branch = build.branch or said.branch
                if said.start and not draft.base:
                    draft.base = said.start
            case "base":
                build = draft.build_of_branch(said.branch)
                if build is not None:
                    self.build = build
                elif not said.branch or said.branch.startswith("-"):
                    return False
                elif not draft.base:
                    draft.base = said.branch
            case "merge":
                build = draft.build_of_branch(said.branch.removeprefix("origin/"))
                if build is None:
                    return False
                if build not in draft.order:
                    draft.order.append(build)
                build.message = build.message or said.message
                build.squash = build.squash or said.squash
                self.merged = build
            case "message":
                build = self.merged or self.build
                if build is None or not said.message:
                    return False
                build.message = build.message or said.message
            case "tag":
                draft.tag = draft.tag or said.branch
                draft.message = draft.message or said.message
            case "push":
                if draft.build_of_branch(said.branch) is not None:
                    return False
                draft.push = True
                draft.remote = draft.remote or said.remote
                if (
                    said.branch
                    and said.branch not in (draft.tag, "--tags", "HEAD")
                    and not re.match(r"v?\d", said.branch)
                ):
                    draft.base = draft.base or said.branch
            case "fetch":
                draft.fetches = draft.fetches or command.line
            case "remove" | "look":
                pass
            case _:
                return False
        return True
