"""Making a build's workspace: worktree, brought-along files, set-up; again and again with the same outcome.

What is done is remembered beside git's own registration of the worktree (``<git dir>/br3.json``), so it lives and
dies with it. Git processes for a new worktree: 3 (``config``, ``worktree add``, ``update-index --refresh``).
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from br3.errors import Br3Error, Interrupted, Refused
from br3.plan.model import Build, Plan
from br3.repo import refs, worktrees
from br3.repo.refs import Branch, CommitId
from br3.repo.runner import Git
from br3.repo.snapshots import file_digest
from br3.repo.worktrees import Repository, Worktree
from br3.telemetry import Journal, Lock
from br3.wording import counted
from br3.workspace import baseline, children, environments, ignored, ports
from br3.workspace.copying import bring_along, included, matching, remove_drafts
from br3.workspace.notes import read_notes, write_notes


class SetupFailed(Br3Error):
    """A set-up command failed; the worktree is left as it is, for inspection."""

    def __init__(
        self, build: str, command: str, done: children.Finished, log: Path, worktree: Path, shown: str
    ) -> None:
        exit_code, cause = done.exit_code, done.cause
        how = "took too long" if cause == "timeout" else f"ended with exit code {exit_code}"
        super().__init__(
            f"set-up of {build} failed: `{command}` {how}\n{_indent(shown)}\nlog: {log}",
            hint=f"look into {worktree}, mend the set-up, then the same command again",
        )
        self.command, self.code, self.log, self.cause = command, exit_code, log, cause


@dataclass(frozen=True)
class Prepared:
    """A workspace that is ready. ``how``: created, attached, repaired, or unchanged; ``environment`` as provided."""

    build: str
    path: Path
    start: CommitId
    how: str
    environment: str
    duration_s: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """What preparing the builds of one run has in common. ``source`` is where ignored files are brought from."""

    repository: Repository
    plan: Plan
    run: str
    journal: Journal
    run_dir: Path
    excludes: Path
    source: Path | None
    known: dict[str, list[dict[str, Any]]]
    """Per build the data of its ``worktree.created`` events: which branches br3 itself made."""
    registered: list[Worktree]
    branches: dict[str, Branch]
    places: dict[str, Path]
    fresh: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)

    def path(self, build: Build) -> Path:
        """Where the build's worktree belongs."""
        return self.places[build.id]


def prepare(
    site: Site,
    build: Build,
    start: CommitId,
    report: Callable[[str], None] = lambda _: None,
    *,
    announce: bool = True,
) -> Prepared:
    """Make the build's worktree at ``start`` and set it up, or repair what is missing of it.

    ``announce`` is off for a build that is further on already and only has its workspace mended.

    Raises Refused when something is in the way, SetupFailed when a command fails, LockHeld while the build runs.
    """
    began = time.monotonic()
    path = site.path(build)
    with Lock(site.repository.common_dir, "build", build.id).acquire() as lock:
        if announce:
            site.journal.append("build.preparing", run=site.run, build=build.id, gen=lock.gen)
        how, warnings = _place(site, build, path, start, lock.gen, report)
        notes = read_notes(path)
        start = CommitId(notes.get("start") or start)
        notes |= {"build": build.id, "run": site.run, "branch": build.branch, "start": start}
        write_notes(path, notes)
        try:
            provided, not_copied = _set_up(site, build, path, notes, lock.gen, report)
        except BaseException:
            children.end_marked(children.mark_of(site.repository.common_dir, build.id))
            raise
        warnings += not_copied
        if how == "unchanged" and provided != "unchanged":
            how = "repaired"
        took = time.monotonic() - began
        if how != "unchanged":
            site.journal.append(
                "worktree.ready",
                run=site.run,
                build=build.id,
                gen=lock.gen,
                path=str(path),
                duration_s=round(took, 3),
                how=how,
                environment=provided,
            )
    return Prepared(build.id, path, start, how, provided, took, tuple(warnings))


def start_of(worktree: Path) -> CommitId | None:
    """The commit that a build's worktree started from, as remembered when it was made."""
    start = read_notes(worktree).get("start")
    return CommitId(start) if start else None


def left_by_setup(worktree: Path) -> dict[str, str]:
    """What set-up left uncommitted in a worktree, by its content: path → digest. It is nobody's work."""
    return dict(read_notes(worktree).get("left") or {})


def is_ready(worktree: Path) -> bool:
    """Whether the worktree's set-up has been completed at least once."""
    return bool(read_notes(worktree).get("ready"))


def facts_for_children(
    site_common_dir: Path, *, run: str, build: Build, worktree: Path, base: str, port: int
) -> dict[str, str]:
    """The ``BR3_*`` variables that set-up, agent and verification of a build see alike, and its mark."""
    return {
        "BR3_RUN": run,
        "BR3_BUILD": build.id,
        "BR3_WORKTREE": str(worktree),
        "BR3_BASE": base,
        "BR3_PORT": str(port),
        children.MARK: children.mark_of(site_common_dir, build.id),
    }


def _place(
    site: Site, build: Build, path: Path, start: CommitId, gen: int, report: Callable[[str], None]
) -> tuple[str, list[str]]:
    """Make sure that the worktree stands; says ``created``, ``attached`` (branch was there) or ``unchanged``."""
    git = site.repository.git
    here = next((w for w in site.registered if worktrees.same_path(w.path, path)), None)
    elsewhere = next((w for w in site.registered if w.branch == build.branch and w is not here), None)
    branch = site.branches.get(build.branch)
    lost = worktrees.lost_touch(git, path)
    if lost is not None:
        raise Refused(
            f"{build.id}: {path} belongs to a repository at {lost.parent.parent}, which is not there: one was moved",
            hint=f"git worktree repair {quote(str(path))} (or br3 doctor --fix), then the same command again",
        )
    if elsewhere is not None and not elsewhere.path.exists():
        elsewhere = _drop_missing(site, build, elsewhere)
    if elsewhere is not None:
        raise Refused(
            f"{build.id}: its branch {build.branch} is checked out in {elsewhere.path}",
            hint=f"git -C {quote(str(elsewhere.path))} switch --detach, or give the build another `branch`",
        )
    if here is not None and not path.exists():
        here = _drop_missing(site, build, here)
    if here is not None:
        if not here.branch or here.branch == build.branch:
            worktrees.finish_checkout(git, here)
        if worktrees.git_dir(path) is None:
            raise Refused(
                f"{build.id}: {path} is registered as a worktree but its .git file is broken",
                hint=f"git worktree repair {quote(str(path))}",
            )
        if here.branch != build.branch:
            on = here.branch or "no branch (detached HEAD)"
            way = f"switch {build.branch}" if branch is not None else f"branch -m {build.branch}"
            raise Refused(
                f"{build.id}: the worktree {path} is on {on}, not on {build.branch}",
                hint=f"git -C {quote(str(path))} {way}, or give the build another `worktree`",
            )
        if not read_notes(path).get("build") and branch is not None and branch.commit != start:
            _refuse_other_work(site, build, branch, start)
        return "unchanged", []
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refused(
            f"{build.id}: {path} exists and is not a worktree of this repository",
            hint="move it away, or give the build another `worktree`",
        )
    if branch is not None and branch.commit != start:
        _refuse_other_work(site, build, branch, start)
    report("adding worktree")
    path.parent.mkdir(parents=True, exist_ok=True)
    complaint = worktrees.add(git, path, branch=build.branch, commit=start, create=branch is None)
    own = [c for c in site.known.get(build.id, []) if c.get("branch") == build.branch] if branch else []
    write_notes(path, {"build": build.id, "start": own[-1]["start"] if own else start})
    site.journal.append(
        "worktree.created",
        run=site.run,
        build=build.id,
        gen=gen,
        path=str(path),
        branch=build.branch,
        start=own[-1]["start"] if own else start,
    )
    warnings = [f"a hook of yours failed in the new worktree: {complaint}"] if complaint else []
    return ("attached" if branch is not None else "created"), warnings


def _refuse_other_work(site: Site, build: Build, branch: Branch, start: CommitId) -> None:
    """Refuse a branch that holds work which br3 did not start; return when br3 made it and its start is still in it."""
    git = site.repository.git
    for created in site.known.get(build.id, []):
        if created.get("branch") == build.branch and refs.is_ancestor(git, created["start"], branch.commit):
            return
    count = refs.count_between(git, start, branch.commit)
    what = f"{counted(count, 'commit')} of other work" if count else "an older state of the base"
    fix = f"git branch -m {build.branch} {build.branch}-old" if count else f"git branch -d {build.branch}"
    raise Refused(
        f"{build.id}: the branch {build.branch} exists with {what}",
        hint=f"{fix}, or give the build another `branch`",
    )


def _drop_missing(site: Site, build: Build, here: Worktree) -> Worktree | None:
    """Forget the registration of a directory that is gone, when it is ours and surely gone."""
    ours = any(created.get("path") == str(here.path) for created in site.known.get(build.id, []))
    if not ours or here.locked or not here.path.parent.is_dir():
        raise Refused(
            f"{build.id}: git has {here.path} registered as a worktree, but there is nothing there",
            hint=f"git worktree remove {quote(str(here.path))} (or mount what holds it), then the same command again",
        )
    site.repository.git("worktree", "remove", str(here.path))
    return None


def _set_up(
    site: Site, build: Build, path: Path, notes: dict[str, Any], gen: int, report: Callable[[str], None]
) -> tuple[str, list[str]]:
    """Run what set-up is missing; says ``unchanged``, ``copied`` (a kept environment), ``set up`` or ``none``, and what
    there is to warn of."""
    plan = site.plan
    remove_drafts(path)
    wanted = setup_digest(plan, build)
    whole = notes.get("ready") == wanted and (not notes.get("venv") or (path / ".venv").is_dir())
    there = None if whole and not site.fresh else look(path, site.excludes)
    copied, warnings = bring_ignored(plan.setup.copy, site.source, path, plan.base)
    if there is None:
        if copied:
            write_notes(path, notes | {"brought": sorted({*(notes.get("brought") or ()), *copied})})
        return ("copied files" if copied else "unchanged"), warnings
    children.end_marked(children.mark_of(site.repository.common_dir, build.id))  # of a set-up that was cut off
    log = site.run_dir / build.id / "setup.log"
    log.unlink(missing_ok=True)
    provided = "none"
    if plan.setup.run:
        report("environment")
        provided = environments.provide(
            plan.setup.run,
            path,
            site.repository.common_dir,
            lambda: _run_each(site, build, plan.setup.run, path, log, gen, report),
            fresh=site.fresh,
            cancelled=site.cancel.is_set,
        )
    if build.setup:
        _run_each(site, build, build.setup, path, log, gen, report)
        provided = "set up"
    children.end_marked(children.mark_of(site.repository.common_dir, build.id))  # a server that set-up left running
    write_notes(path, notes | {"ready": wanted} | made_since(there, path, site.excludes, notes, copied))
    return provided, warnings


@dataclass(frozen=True)
class Before:
    """What a worktree held before it was set up: uncommitted paths by digest, ignored ones by stamp."""

    uncommitted: dict[str, str]
    ignored: dict[str, str]


def look(path: Path, excludes: Path) -> Before:
    """What it holds now. Git processes: 2."""
    return Before(_uncommitted(path, excludes), ignored.stamps(path))


def made_since(
    before: Before, path: Path, excludes: Path, notes: Mapping[str, Any], brought: Iterable[str]
) -> dict[str, Any]:
    """What to note of a set-up that has ended: what it left and what was brought along is nobody's work."""
    # What was there before is somebody's work, also when this is not the first set-up of the worktree.
    known = {name: digest for name, digest in left_by_setup(path).items() if before.uncommitted.get(name) == digest}
    now = look(path, excludes)
    fresh = {name: digest for name, digest in now.uncommitted.items() if before.uncommitted.get(name) != digest}
    mine = {name: stamp for name, stamp in now.ignored.items() if before.ignored.get(name) != stamp}
    return {
        "venv": (path / ".venv").is_dir(),
        "left": known | fresh,
        "ignored": {**(notes.get("ignored") or {}), **mine},
        "brought": sorted({*(notes.get("brought") or ()), *brought}),
    }


def _uncommitted(path: Path, excludes: Path) -> dict[str, str]:
    found = worktrees.uncommitted(path, excludes)
    return {name: digest for name in found if (digest := file_digest(path / name))}


def to_bring(patterns: Sequence[str], source: Path) -> list[str]:
    """The paths that the plan's patterns and ``.worktreeinclude`` name in ``source``."""
    return list(dict.fromkeys([*matching(patterns, source), *included(source)]))


def bring_ignored(patterns: Sequence[str], source: Path | None, path: Path, base: str) -> tuple[list[str], list[str]]:
    """Copy the ignored files that the plan and ``.worktreeinclude`` name, and say which are not copied.

    What git does not ignore in the worktree would end in a commit, or make it pass with files that no clone has.
    """
    if source is None or worktrees.same_path(source, path):
        return [], []
    found = to_bring(patterns, source)
    if not found:
        return [], []
    # A rule such as `cache/` is for directories, and git cannot see that what is not there yet will be one.
    asked = [f"{name}/" if (source / name).is_dir() else name for name in found]
    answer = Git(path)("check-ignore", "-z", "--stdin", input=b"\0".join(map(os.fsencode, asked)), ok=(0, 1))
    hidden = {name.removesuffix("/") for name in answer.fields}
    open_ones = [name for name in found if name not in hidden and not os.path.lexists(path / name)]
    warnings = [
        f"{name} is not copied: git does not ignore it at {base}; commit its .gitignore line first"
        for name in open_ones
    ]
    return bring_along([name for name in found if name in hidden], source, path), warnings


def _run_each(
    site: Site,
    build: Build,
    commands: tuple[str, ...],
    path: Path,
    log: Path,
    gen: int,
    report: Callable[[str], None],
) -> None:
    common_dir = site.repository.common_dir
    port = ports.port_of(common_dir, path)
    facts = facts_for_children(common_dir, run=site.run, build=build, worktree=path, base=site.plan.base, port=port)
    for command in commands:
        report(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as text:
            text.write(f"$ {command}\n")
        env = children.environment(path, facts, build.env)
        with baseline.ours(common_dir):
            done = children.run_command(
                command, cwd=path, env=env, log=log, timeout_s=build.timeout_s, cancel=site.cancel
            )
        if done.cause == "cancelled":
            raise Interrupted(f"the set-up of {build.id} was stopped")
        if not done.ok:
            site.journal.append(
                "worktree.failed",
                "error",
                run=site.run,
                build=build.id,
                gen=gen,
                path=str(path),
                command=command,
                exit_code=done.exit_code,
                log=str(log),
            )
            shown = site.journal.redact(children.tail(log))
            raise SetupFailed(build.id, command, done, log, path, shown)


def setup_digest(plan: Plan, build: Build | None) -> str:
    """What tells whether a worktree was set up by these commands."""
    words = [*plan.setup.run, "", *(build.setup if build is not None else ())]
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:24]


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
