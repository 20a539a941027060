"""The worktrees of a repository, and of each what is known without looking into it.

Git processes: 3, and 1 more where a HEAD is detached. The files that br3 keeps beside are read, nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Br3Error
from br3.repo import worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Repository, Worktree
from br3.workspace import ports
from br3.workspace.notes import SCRATCH_MARK, read_notes

_USUAL = ("main", "master", "trunk", "develop")
_PLAN_FILE = "br3.toml"


@dataclass(frozen=True)
class Row:
    """One worktree. ``branch`` is None when HEAD is detached, ``head`` when there is no commit yet.

    ``state``: empty, ``bare``, ``missing`` (its directory is gone), ``unmounted`` (so is what holds it), ``broken``
    (no worktree any more), ``adding`` (being added, or that was cut off), ``throw-away`` (br3's own, of a landing).
    ``committed`` is the time of the commit in seconds since 1970, ``upstream`` a full ref name.
    """

    path: Path
    branch: str | None
    head: CommitId | None
    registered: Worktree
    main: bool = False
    current: bool = False
    state: str = ""
    build: str | None = None
    run: str | None = None
    start: CommitId | None = None
    ready: bool = False
    port: int | None = None
    upstream: str | None = None
    committed: int | None = None
    subject: str = ""
    operation: str | None = None
    """A merge, rebase, … that waits there."""

    @property
    def name(self) -> str:
        """What a person would call it."""
        return self.branch or self.registered.held or self.path.name

    @property
    def there(self) -> bool:
        """Whether it can be looked into."""
        return self.state in ("", "throw-away")


@dataclass(frozen=True)
class Seen:
    """All worktrees, the main one first; ``base`` is the name of the branch that they are compared with and where it
    points, None where there is no such branch."""

    repository: Repository
    rows: tuple[Row, ...]
    base: str | None
    base_commit: CommitId | None

    @property
    def current(self) -> Row | None:
        return next((row for row in self.rows if row.current), None)


def see(directory: Path) -> Seen:
    """The worktrees of the repository that ``directory`` lies in."""
    repository = worktrees.discover(directory)
    return see_all(repository)


def see_all(repository: Repository) -> Seen:
    """The same, once the repository is found."""
    git = repository.git
    listed = worktrees.list_worktrees(git)
    candidates = _candidates(repository, listed)
    names = dict.fromkeys([*(w.branch for w in listed if w.branch), *candidates])
    known = _branches(git, names)
    detached = [w.head for w in listed if w.head and w.branch is None]
    commits = _commits(git, detached) if detached else {}
    given = ports.known_ports(repository.common_dir)
    here = repository.worktree.resolve() if repository.worktree else None
    rows = []
    for number, found in enumerate(listed):
        notes = read_notes(found.path) if number else {}
        facts = known.get(found.branch or "") or commits.get(found.head or "")
        rows.append(
            Row(
                path=found.path,
                branch=found.branch,
                head=found.head if found.head and set(found.head) != {"0"} else None,
                registered=found,
                main=number == 0,
                current=here is not None and found.path.resolve() == here,
                state=_state(found, linked=number > 0),
                build=notes.get("build"),
                run=notes.get("run"),
                start=notes.get("start"),
                ready=bool(notes.get("ready")),
                port=given.get(os.path.realpath(found.path)),
                upstream=facts.upstream if facts else None,
                committed=facts.committed if facts else None,
                subject=facts.subject if facts else "",
                operation=None if found.bare else worktrees.operation_in_progress(found.path),
            )
        )
    base = next((name for name in candidates if name in known), None)
    return Seen(repository, tuple(rows), base, known[base].commit if base else None)


@dataclass(frozen=True)
class _Facts:
    commit: CommitId
    upstream: str | None
    committed: int | None
    subject: str


def _branches(git: Git, names: Sequence[str] | dict[str, None]) -> dict[str, _Facts]:
    form = "%(refname)%00%(objectname)%00%(upstream)%00%(committerdate:unix)%00%(contents:subject)"
    told = git("for-each-ref", f"--format={form}", *(f"refs/heads/{name}" for name in names)).lines
    found = {}
    for line in told:
        ref, commit, upstream, committed, subject = line.split("\0")
        name = ref.removeprefix("refs/heads/")
        if name in names:
            found[name] = _Facts(CommitId(commit), upstream or None, int(committed) if committed else None, subject)
    return found


def _commits(git: Git, ids: Sequence[CommitId]) -> dict[str, _Facts]:
    told = git("log", "--no-walk=unsorted", "--format=%H%x00%ct%x00%s", *dict.fromkeys(ids), ok=(0, 128)).lines
    lines = [line.split("\0") for line in told if line.count("\0") == 2]
    return {commit: _Facts(CommitId(commit), None, int(when), subject) for commit, when, subject in lines}


def _state(found: Worktree, *, linked: bool) -> str:
    if found.bare:
        return "bare"
    if found.adding:
        return "adding"
    if not found.path.is_dir():
        return "missing" if found.path.parent.is_dir() else "unmounted"
    if linked:
        directory = worktrees.git_dir(found.path)
        if directory is None:
            return "broken"
        if not (directory / "index").exists():
            return "adding"
        if (directory / SCRATCH_MARK).exists():
            return "throw-away"
    return ""


def _candidates(repository: Repository, listed: Sequence[Worktree]) -> list[str]:
    """Names of the branch that may be base, the likeliest first: the plan's, a run's, the remote's, usual ones."""
    found = [_of_plan(repository), _of_newest_run(repository), _of_remote(repository)]
    main = listed[0].branch if listed else None
    usual = [main] if main in _USUAL else []
    return list(dict.fromkeys(name for name in [*found, *usual, *_USUAL, main] if name))


def _of_plan(repository: Repository) -> str | None:
    """What br3.toml says, read as far as needed here: whether all of it is right is another command's question."""
    places = [repository.worktree, repository.top]
    for place in places:
        if place is None or (place != repository.top and read_notes(place).get("build")):
            continue
        path = place / _PLAN_FILE
        if path.is_file():
            import tomllib

            try:
                name = tomllib.loads(path.read_text(encoding="utf-8")).get("plan", {}).get("base", "main")
            except (OSError, ValueError, AttributeError):
                return None
            return name if isinstance(name, str) else None
    return None


def _of_newest_run(repository: Repository) -> str | None:
    try:
        newest = max(os.listdir(repository.br3_dir / "runs"))
        name = json.loads((repository.br3_dir / "runs" / newest / "plan.json").read_text())["plan"]["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _of_remote(repository: Repository) -> str | None:
    try:
        said = (repository.common_dir / "refs" / "remotes" / "origin" / "HEAD").read_text().strip()
    except (OSError, ValueError):
        return None
    prefix = "ref: refs/remotes/origin/"
    return said.removeprefix(prefix) if said.startswith(prefix) else None


def see_or_none(directory: Path) -> Seen | None:
    """The same for who only helps, such as completion: None where nothing can be seen."""
    try:
        return see(directory)
    except (Br3Error, OSError):
        return None
