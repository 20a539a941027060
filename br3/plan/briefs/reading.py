"""From the text of a brief to a draft of the plan, and what became of each line.

First the builds are found (front matter, tables, headings, lists, worktrees that are added), then what their sections
say, then the rest: set-up, landing, release, verification of the whole, criteria. ``shelling`` takes the commands.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from br3.plan.briefs import finding, front, paths, quantities, shelling
from br3.plan.briefs.commands import is_test, looks_like_command
from br3.plan.briefs.drafts import BuildDraft, CriterionDraft, Draft
from br3.plan.briefs.facts import Facts, agent_in, both
from br3.plan.briefs.finding import Heading, raised
from br3.plan.briefs.labels import Role, pair, role_of, role_of_heading
from br3.plan.briefs.ledger import Ledger
from br3.plan.briefs.masking import TOLD, masked
from br3.plan.briefs.paths import Machine
from br3.plan.briefs.shelling import Shelling
from br3.plan.briefs.signs import codes, plain, repaired, slug, title
from br3.plan.briefs.structure import Part, Section, mended, parts, sections


@dataclass(frozen=True)
class Read:
    """What a brief says. ``root``: its sections, to tell under which heading a line stands."""

    draft: Draft
    ledger: Ledger
    machine: Machine
    root: Section

    def under(self, number: int) -> str:
        """The heading above a line; empty before the first one."""
        above = [s for s in self.root.walk() if s.level and s.line <= number]
        return title(above[-1].title) if above else ""


def read(text: str) -> Read:
    """Read a brief. Secrets in it are masked first, and told of."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    lines, secret = masked(text.split("\n"))
    ledger = Ledger(lines)
    draft = Draft()
    for number in secret:
        draft.note(number, TOLD)
    body = front.take(lines, draft, ledger)
    closed, assumed = mended(body)
    for number, said in assumed:
        draft.note(number, said)
    root = sections(raised(parts(closed), lines))
    machine = Machine()
    reader = _Reader(draft, ledger, machine, root)
    reader.read()
    return Read(draft, ledger, machine, root)


class _Reader:
    """The reading of one brief."""

    def __init__(self, draft: Draft, ledger: Ledger, machine: Machine, root: Section) -> None:
        self.draft, self.ledger, self.machine, self.root = draft, ledger, machine, root
        self.shelling = Shelling(draft, ledger, machine)
        self.headings: dict[int, Heading] = {}
        self.owners: dict[int, BuildDraft] = {}
        self.adds = shelling.worktrees_added(root, machine)

    def read(self) -> None:
        """All steps, in their order."""
        self._name()
        self.headings = finding.build_sections(self.root)
        self._tables_of_builds()
        self._sections_of_builds()
        self._lists_of_builds()
        for section in self.root.walk():
            if section.line in self.owners:
                self._read_build(section)
        self._link_worktrees()
        self._ids()
        self._read_rest(self.root, None)
        self._only_one_build()
        self._ids()
        self._resolve()
        self._headings_and_leads()

    def _name(self) -> None:
        first = next((s for s in self.root.walk() if s.level), None)
        if first is None or sum(s.level == first.level for s in self.root.walk()) > 1:
            self._name_in_first_line()
            return
        if not self.draft.name:
            self.draft.name = title(first.title)
            self.ledger.place([first.line], "whole")
        elif title(first.title).casefold() == self.draft.name.casefold():
            self.ledger.place([first.line], "whole")

    def _name_in_first_line(self) -> None:
        """Without a heading above everything: a short first line that stands alone."""
        first = next(iter(self.root.parts), None)
        lines = self.ledger.lines
        alone = len(lines) < 2 or not lines[1].strip()
        if first is None or first.kind != "text" or first.first != 1 or not alone or self.draft.name:
            return
        if len(first.text.split()) <= 8 and not re.search(r"[:.]\s*$", first.text):
            self.draft.name = title(first.text)
            self.ledger.place([1], "whole")

    # -- finding the builds -----------------------------------------------------------------------------------------

    def _tables_of_builds(self) -> None:
        for section in self.root.walk():
            if self._inside_a_build(section):
                continue
            for head, rows in _tables(section.parts):
                if finding.is_table_of_builds(head.cells) and rows:
                    self._table(head, rows)

    def _table(self, head: Part, rows: list[Part]) -> None:
        self.ledger.place(head.numbers, "structure")
        label_at, name_at = finding.naming_column(head.cells)
        for row in rows:
            cells = [*row.cells, *[""] * (len(head.cells) - len(row.cells))]
            said = finding.heading(cells[name_at]) or Heading("", "", title(cells[name_at]), False)
            label = plain(cells[label_at]).strip().lstrip("#") if label_at >= 0 else said.label
            name = said.title or title(cells[name_at])
            if not name and not label:
                continue
            build = self.draft.called(name, label, said.word) or self._new(row.first, said.word, label)
            if re.fullmatch(r"[a-z0-9][a-z0-9._-]*", plain(cells[name_at])) and not build.id:
                build.id = plain(cells[name_at])
            build.named(name, 2)
            build.branch = build.branch or said.branch
            facts = Facts(self.draft, build, self.ledger, self.shelling.take)
            for at, (column, cell) in enumerate(zip(head.cells, cells, strict=False)):
                role = _role_of_column(column)
                shown = plain(cell)
                if at in (label_at, name_at) or not cell.strip() or role is None:
                    continue
                if role == "after" and re.fullmatch(r"\d{1,2}", shown):
                    self.draft.places.append((int(shown), build))
                elif role == "prompt":
                    build.remark = build.remark or repaired(shown)
                elif not facts.apply(Part("text", row.first, row.last, cell), role, cell, listed=False, labelled=True):
                    self.ledger.partly(row.first)
            self.ledger.place(row.numbers)

    def _sections_of_builds(self) -> None:
        for section in self.root.walk():
            said = self.headings.get(section.line)
            if said is None and not self._inside_a_build(section) and section.level:
                known = self.draft.called(title(section.title))
                named = finding.heading(section.title)
                if known is None and named is not None and named.sure and named.label and not named.adds:
                    known = self.draft.called(named.title, named.label, named.word)
                if known is not None and role_of_heading(section.title) is None:
                    self.owners[section.line] = known
                    self.ledger.place([section.line], "structure")
                continue
            if said is None:
                continue
            build = self.draft.called(said.title, said.label, said.word) or self._new(
                section.line, said.word, said.label
            )
            build.line = build.line or section.line
            build.label = build.label or said.label
            weight = 3 if finding.evidence(section) else 2
            name, length, _ = quantities.split_minutes(said.title)
            build.minutes = build.minutes or length
            called = f"{said.word.capitalize()} {said.label}".strip()
            build.named(name if re.search(r"\w", name) else called, weight)
            build.branch = build.branch or said.branch
            self.owners[section.line] = build
            self.ledger.place([section.line], "values")

    def _lists_of_builds(self) -> None:
        """Items that name builds; without any other builds, items that have what builds have."""
        had = bool(self.draft.builds)
        for section in self.root.walk():
            if self._inside_a_build(section):
                continue
            role = self._role_here(section)
            groups = _items(section.parts)
            if not had and role not in (*finding.GLOBAL, "builds") and sum(map(_looks_like_build, groups)) > 1:
                role = "builds"
            for group in groups:
                said = finding.item(group[0].text)
                known = said and self.draft.called(said[0].title, said[0].label, said[0].word)
                fits = said and (role == "builds" or (said[0].sure and bool(said[0].label) and bool(known)))
                if group[0].checked and any(g[0].checked is False for g in groups):
                    continue  # it is ticked off, and others are not
                if said is None or not fits or (known is None and had and not said[0].sure):
                    continue
                if said[0].word in ("day", "week", "sprint") and known is None:
                    continue
                if role == "builds" or known is not None:
                    self._item(group, *said, bool(had and known))

    def _item(self, group: list[Part], said: Heading, rest: str, known: bool) -> None:
        first = group[0]
        build = self.draft.called(said.title, said.label, said.word) or self._new(first.first, said.word, said.label)
        name, length, behind = quantities.split_minutes(said.title)
        build.named(name, 1 if known else 2)
        build.minutes = build.minutes or length
        build.branch = build.branch or said.branch
        facts = Facts(self.draft, build, self.ledger, self.shelling.take)
        left = []
        rest, length, _ = quantities.split_minutes(rest) if not known else (rest, None, "")
        build.minutes = build.minutes or length
        for piece in _clauses(rest):
            if not _clause(facts, first, piece):
                left.append(piece)
        build.remark = build.remark or repaired(plain(", ".join(p for p in [behind, *left] if p)))
        self.ledger.place(first.numbers)
        if len(group) > 1:
            self.owners[-first.first] = build
            facts.role = "tasks" if any(part.checked is not None for part in group[1:]) else None
            facts.read([_lifted(part, first.level) for part in group[1:]])

    def _new(self, line: int, word: str, label: str) -> BuildDraft:
        build = BuildDraft(line, word, label)
        self.draft.builds.append(build)
        return build

    def _inside_a_build(self, section: Section) -> bool:
        here: Section | None = section
        while here is not None:
            if here.line in self.owners or (here.line in self.headings and here.level):
                return True
            here = here.parent
        return False

    def _role_here(self, section: Section) -> Role | None:
        """The role of a section, else of the one that it is part of. The document's own title says nothing."""
        for here in (section, section.parent):
            if here is not None and here.level > 1 and (role := role_of_heading(here.title)):
                return role
        return None

    # -- reading them -----------------------------------------------------------------------------------------------

    def _read_build(self, section: Section) -> None:
        build = self.owners[section.line]
        for code in codes(section.title):
            if not build.worktree and "/" not in code and code != build.branch:
                build.worktree = code if re.fullmatch(r"[\w.-]+", code) and code != build.id else build.worktree
        facts = Facts(self.draft, build, self.ledger, self.shelling.take)
        facts.read(section.everything())
        if build.agent:
            self.draft.agents.append(build.agent)

    def _link_worktrees(self) -> None:
        """Give each worktree that the brief adds to the build that it is meant for."""
        for build in self.draft.builds:
            for line in self.ledger.lines:
                for found in paths.ABSOLUTE.finditer(line):
                    if build.worktree and paths.name_of(found[0]) == build.worktree:
                        self.machine.worktrees[paths.clean(found[0])] = build.worktree
        left = []
        for add in self.adds:
            name = paths.name_of(add.path)
            known = self.draft.build_of_worktree(name) or self.draft.build_of_branch(add.branch)
            if known is None:
                left.append(add)
            else:
                self._at(known, add)
        free = [b for b in self.draft.builds if not b.branch and not b.worktree]
        for add in list(left):
            words = set(re.findall(r"[a-z]{3,}", f"{add.path.rsplit('/', 1)[-1]} {add.branch}".lower()))
            scores = [(len(words & set(re.findall(r"[a-z]{3,}", b.title.lower()))), b) for b in free]
            best = max(scores, key=lambda entry: entry[0], default=(0, None))
            if best[0] and best[1] is not None:
                self._at(best[1], add)
                free.remove(best[1])
                left.remove(add)
        if left and len(left) == len(free):
            for add, build in zip(left, free, strict=True):
                self._at(build, add)
                self.draft.note(
                    add.line, f"the worktree {add.path} was taken for that of “{build.title}”, by its place"
                )
            return
        for add in left:
            build = self._new(add.line, "", "")
            build.named(title(add.branch.rpartition("/")[2].replace("-", " ").capitalize()), 1)
            self._at(build, add)

    def _at(self, build: BuildDraft, add: shelling.Added) -> None:
        build.branch = build.branch or add.branch
        build.worktree = build.worktree or paths.name_of(add.path)
        if add.start and not self.draft.base and "/" not in add.start.removeprefix("origin/"):
            self.draft.base = add.start.removeprefix("origin/")

    def _ids(self) -> None:
        builds = self.draft.builds
        mains = [f"{paths.name_of(main)}-" for main in self.machine.main]
        trees = [b.worktree for b in builds if b.worktree]
        tails = [b.branch.rpartition("/")[2] for b in builds if b.branch]
        used: set[str] = set()
        for build in builds:
            if not build.id:
                tail = build.branch.rpartition("/")[2]
                build.id = _short(build.worktree, trees, mains) or _short(tail, tails, mains) or slug(build.title, 32)
                build.id = build.id or slug(f"{build.word or 'build'}-{build.label or len(used) + 1}")
            build.id = re.sub(r"[^A-Za-z0-9._-]+", "-", build.id).strip("-._")[:64] or f"build-{len(used) + 1}"
            name, number = build.id, 2
            while build.id.casefold() in used:
                build.id, number = f"{name[:60]}-{number}", number + 1
            used.add(build.id.casefold())

    # -- the rest ---------------------------------------------------------------------------------------------------

    def _read_rest(self, section: Section, role: Role | None) -> None:
        if section.line in self.owners and section.level:
            return
        said = finding.heading(section.title) if section.level else None
        own = role_of_heading(section.title) if section.level else None
        if said is not None and said.word and said.title and own is None:
            own = role_of_heading(said.title)
        build = self._meant_by(section, said)
        if build is not None:
            facts = Facts(self.draft, build, self.ledger, self.shelling.take)
            facts.role = own or role or "verification"
            facts.read(section.everything())
            return
        here: Role | None = own or (role if role in finding.GLOBAL else None)
        if own == "builds" and (
            found := re.search(r"\b(\d{1,2})\s+(?:\w+\s+)?(?:parallel|concurrent)", section.title, re.I)
        ):
            self.draft.jobs = self.draft.jobs or int(found[1]) or None
        for part in section.parts:
            if not self.ledger.placed(part.numbers):
                here = self._part(part, here)
        for child in section.sections:
            self._read_rest(child, here)

    def _meant_by(self, section: Section, said: Heading | None) -> BuildDraft | None:
        """The build that a section outside of it tells more of: "Build A Done?"."""
        if said is None or not section.level:
            return None
        if said.sure and said.label:
            return self.draft.called("", said.label, said.word)
        return self.draft.called(said.title)

    def _part(self, part: Part, role: Role | None) -> Role | None:
        if part.kind == "fence":
            self.shelling.take(part, None, role)
        elif part.kind == "row":
            self._row(part)
        elif part.kind in ("text", "item"):
            said = pair(part.text)
            known = role_of(said[0]) if said else None
            if said and known and not said[1]:
                self.ledger.place(part.numbers, "structure")
                return known if known in finding.GLOBAL or known in ("after", "run") else role
            if said and known and role != "criteria" and self._labelled(part, known, said[1], role):
                return role
            self._unlabelled(part, role)
        return role

    def _row(self, part: Part) -> None:
        """Rows of tables that are not of builds: a criterion or a build's command in a table."""
        refs = self.draft.referred(plain(part.cells[0])) if part.cells else []
        if part.head or len(refs) != 1:
            return
        commands_in = [c for cell in part.cells[1:] for c in (codes(cell) or [plain(cell)]) if is_test(c)]
        for command in commands_in:
            if command not in refs[0].verify:
                refs[0].verify.append(command)
        wanted = quantities.expected(plain(part.text))
        refs[0].expected = both(refs[0].expected, wanted)
        if commands_in or wanted:
            self.ledger.place(part.numbers)

    def _labelled(self, part: Part, known: Role, value: str, role: Role | None) -> bool:
        draft, shown = self.draft, plain(repaired(value))
        first = (codes(value) or [shown.split(" ")[0] if shown else ""])[0].strip(".,;")
        match known:
            case "base" | "branch" if re.fullmatch(r"[\w./-]+", first):
                if known == "branch" and first not in ("main", "master", "develop", "trunk"):
                    return False
                draft.base = draft.base or first
            case "tag" | "release" if re.match(r"v?\d+(\.\d+)+|[\w.-]+[@/-]?v?\d", first):
                draft.tag = draft.tag or first
            case "remote":
                draft.remote = draft.remote or first
            case "budget" if quantities.usd(value) is not None:
                draft.budget_usd = quantities.usd(value)
            case "jobs" if re.match(r"\d{1,2}\b", shown):
                draft.jobs = int(re.match(r"\d+", shown)[0]) or None  # type: ignore[index]
            case "agent" if agent_in(value):
                draft.agents.append(agent_in(value))
            case "message" if role in ("release", "tag", "landing") and shown:
                draft.message = draft.message or shown.strip("\"'“”")
            case "after" | "landing" if len(refs := draft.referred(value)) > 1:
                self._lands(refs)
            case "verification" | "run" | "setup" | "expected" | "tests" | "coverage":
                return self._commands(part, value, "setup" if known == "setup" else "verification")
            case _:
                return False
        self.ledger.place(part.numbers)
        return True

    def _commands(self, part: Part, value: str, role: Role) -> bool:
        """Commands and minima in a line outside of builds; of one build where the line names it."""
        refs = self.draft.referred(plain(value)) if role != "setup" else []
        build = refs[0] if len(refs) == 1 else None
        found = [code for code in codes(value) if looks_like_command(code)]
        if not found and looks_like_command(plain(value)):
            found = [plain(value)]
        done = bool(found) and self.shelling.run([(part.first, code) for code in found], build, role)
        wanted = quantities.expected(plain(value)) if role == "verification" and (found or self.draft.verify) else None
        if wanted and build is None:
            self.draft.expected = both(self.draft.expected, wanted)
        elif wanted and build is not None:
            build.expected = both(build.expected, wanted)
        if done or wanted:
            self.ledger.place(part.numbers)
        return bool(done or wanted)

    def _unlabelled(self, part: Part, role: Role | None) -> None:
        text = part.text
        if role == "criteria":
            if part.kind == "item" and part.level == 1:
                self.draft.criteria.append(CriterionDraft(part.first, repaired(text)))
                self.ledger.place(part.numbers)
        elif role in ("landing", "after"):
            self._landing(part)
        elif role == "release":
            self._release(part)
        elif role in ("setup", "verification", "run"):
            self._commands(part, text, "setup" if role == "setup" else "verification")
        elif re.match(
            r"(?:\W*(?:then|finally|afterwards|at the end|last),?\s+)?(?:merge|land|tag)\b", text, re.IGNORECASE
        ):
            self._landing(part)

    def _landing(self, part: Part) -> None:
        refs = self.draft.referred(plain(repaired(part.text)))
        if part.kind == "item" and len(refs) == 1:
            build = refs[0]
            self._lands(refs)
            said = [
                c for c in codes(part.text) if c != build.branch and (":" in c or " " in c) and not c.startswith("git ")
            ]
            quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]", part.text)
            build.message = build.message or next(iter([*said, *quoted]), "")
            self.ledger.place(part.numbers)
        elif len(refs) > 1:
            self._lands(refs)
            self.ledger.place(part.numbers)
        else:
            if any(map(looks_like_command, codes(part.text))):
                self._commands(part, part.text, "verification")
            self._release(part)

    def _lands(self, refs: list[BuildDraft]) -> None:
        self.draft.order += [build for build in refs if build not in self.draft.order]

    def _release(self, part: Part) -> None:
        found = [code for code in codes(part.text) if looks_like_command(code)]
        if found and self.shelling.run([(part.first, code) for code in found], None, "release"):
            self.ledger.place(part.numbers)
        tag = re.search(
            r"\btag(?:ged)?\b\W+(?:as |it |the release |with )*`?(v?\d+(?:\.\d+)+[\w.-]*)", plain(part.text), re.I
        )
        if tag:
            self.draft.tag = self.draft.tag or tag[1].rstrip(".")
            quoted = re.search(r"[\"“]([^\"“”]+)[\"”]", part.text)
            self.draft.message = self.draft.message or (quoted[1] if quoted else "")
            self.ledger.place(part.numbers)
        elif re.match(r"(?:then )?push\b.{0,40}$", plain(part.text), re.IGNORECASE):
            self.draft.push = True
            self.ledger.place(part.numbers)

    # -- putting together -------------------------------------------------------------------------------------------

    def _only_one_build(self) -> None:
        """A brief without builds that lists tasks is one build."""
        if self.draft.builds:
            return
        with_tasks = [
            s for s in self.root.walk() if role_of_heading(s.title) in ("tasks", "builds") and _items(s.parts)
        ]
        if not with_tasks:
            return
        build = self._new(with_tasks[0].line, "", "")
        build.named(self.draft.name or "The work", 1)
        facts = Facts(self.draft, build, self.ledger, self.shelling.take)
        for section in with_tasks:
            facts.role = "tasks"
            facts.read(section.parts)

    def _resolve(self) -> None:
        """References to builds, in the end when all are known."""
        draft = self.draft
        for line, text in draft.order_said:
            refs = draft.referred(text)
            self._lands(refs)
            if not refs:
                self.ledger.partly(line)
        self._lands([build for _, build in sorted(draft.places, key=lambda entry: entry[0])])
        for build in draft.builds:
            for line, text in build.needs:
                refs = [other for other in draft.referred(plain(text)) if other is not build]
                build.needs_builds += [other for other in refs if other not in build.needs_builds]
                if not refs:
                    self.ledger.partly(line)
            for line, text in build.after:
                refs = [other for other in draft.referred(plain(text)) if other is not build]
                if not refs:
                    self.ledger.partly(line)
                for other in refs:
                    draft.note(line, f"{build.id} lands after {other.id}")
                    draft.order = _after(draft.order, other, build)
        self._phases()
        for criterion in draft.criteria:
            named = re.search(
                r"\b(?:released?|tag(?:ged)?|shipped)\b(?: as| it)?\W+(v?\d+(?:\.\d+)+[\w.-]*)", criterion.text, re.I
            )
            if named and not draft.tag:
                draft.tag = named[1].rstrip(".")
                draft.note(criterion.line, f"the tag {draft.tag} is named in the checklist only")

    def _phases(self) -> None:
        """Phases and stages come one after the other, unless the brief says that they go on at once."""
        numbered = [b for b in self.draft.builds if b.word in finding.SEQUENCES and b.label]
        at_once = re.search(
            r"phases?.{0,40}\b(?:in parallel|at the same time|independent)", "\n".join(self.ledger.lines), re.I
        )
        if len(numbered) < 2 or at_once or any(b.needs for b in numbered) or self.adds:
            return
        for before, build in itertools.pairwise(numbered):
            build.needs_builds.append(before)
        word = numbered[0].word
        self.draft.note(
            numbered[0].line,
            f"each {word} was taken to need the one before; delete `needs` where they may start at once",
        )

    def _headings_and_leads(self) -> None:
        last = len(self.ledger.lines)
        flat = [s for s in self.root.walk() if s.level]
        for section in flat:
            ends = next((s.line - 1 for s in flat if s.line > section.line and s.level <= section.level), last)
            if not self.ledger.fate(section.line) and self.ledger.placed(range(section.line + 1, ends + 1)):
                self.ledger.place([section.line], "structure")
        for section in self.root.walk():
            for part, follower in zip(section.parts, section.parts[1:], strict=False):
                lead = part.kind == "text" and re.search(r":\**\s*$", part.text) and len(part.text.split()) <= 12
                if lead and not self.ledger.fate(part.first) and self.ledger.placed(follower.numbers):
                    self.ledger.place(part.numbers, "structure")


def _after(order: list[BuildDraft], one: BuildDraft, other: BuildDraft) -> list[BuildDraft]:
    """The order with ``other`` behind ``one``."""
    found = [b for b in order if b is not other]
    if one not in found:
        found.append(one)
    found.insert(found.index(one) + 1, other)
    return found


def _short(name: str, names: list[str], mains: list[str]) -> str:
    """The name without what all names begin with, as far as that ends at a separator."""
    low, high = min(names, default=""), max(names, default="")
    length = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    common = low[:length] if low != high else ""
    cut = max(common.rfind(sign) for sign in "-_.") + 1
    if not cut:
        cut = max((len(main) for main in mains if name.startswith(main)), default=0)
    return name[cut:] if re.match(r"[A-Za-z]", name[cut:]) else name if re.match(r"[A-Za-z]", name) else ""


def _tables(found: list[Part]) -> list[tuple[Part, list[Part]]]:
    tables: list[tuple[Part, list[Part]]] = []
    for part in found:
        if part.kind == "row" and part.head:
            tables.append((part, []))
        elif part.kind == "row" and tables:
            tables[-1][1].append(part)
    return tables


def _items(found: list[Part]) -> list[list[Part]]:
    """The items of depth 1, each with what stands in it."""
    groups: list[list[Part]] = []
    for part in found:
        if part.kind == "item" and part.level == 1:
            groups.append([part])
        elif groups and part.level >= 1 and part.kind != "row":
            groups[-1].append(part)
    return groups


def _looks_like_build(group: list[Part]) -> bool:
    if finding.branch_in(group[0].text):
        return True
    roles = {role_of(said[0]) for part in group[1:] if (said := pair(part.text))}
    return bool(roles & {"branch", "owns", "verification", "tasks", "worktree"}) or (
        len(group) > 2
        and all(part.checked is not None for part in group[1:] if part.kind == "item")
        and any(part.kind == "item" for part in group[1:])
    )


def _lifted(part: Part, by: int) -> Part:
    """A part of an item's inside as if the item were the document."""
    from dataclasses import replace

    return replace(part, level=max(part.level - by, 0))


def _clauses(rest: str) -> list[str]:
    return [
        c.strip(" .")
        for c in re.split(r"\s*[;·|]\s*|,\s+(?=[A-Za-z ]{2,20}:?\s+[`$~\d])|\s+[—–]\s+", rest)
        if c.strip(" .")
    ]


def _clause(facts: Facts, part: Part, text: str) -> bool:
    """Take a clause such as "owns `src/search/`" or "branch `feature/x`"."""
    found = re.match(r"^[(]?(?P<label>[A-Za-z][A-Za-z ]{1,24}?)\s*[:=]?\s+(?P<value>[`$~≈\d#*\"].*?|\S+)[)]?$", text)
    if found is None:
        return finding.branch_in(text) == text.strip("`() ")
    role = role_of(found["label"])
    if role is None or role in ("prompt", "title", "builds", "setup"):
        return False
    return facts.apply(part, role, found["value"], listed=False, labelled=True)


def _role_of_column(text: str) -> Role | None:
    if plain(text).strip().lower() in ("order", "lands", "merge", "merges", "#", "land order"):
        return "after"
    if plain(text).strip().lower() in ("time", "est", "estimate", "min", "minutes", "hours"):
        return "minutes"
    return role_of(text)
