"""What an agent has changed beyond its own ground, seen after each attempt; configuration and hooks are put back.

Others work in the repository meanwhile, the user among them. So a branch or a stash is told of only where it is this
agent's doing: this worktree's HEAD was there, the agent ran git in the worktree that has the branch, or no worktree has
it; a stash names the build's branch. Where an agent runs git is noted by git itself (``GIT_TRACE2_EVENT``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from br3.agents.base import event_of
from br3.orchestrator.proving import named
from br3.orchestrator.working import Work
from br3.repo import refs, worktrees
from br3.workspace import baseline
from br3.workspace.baseline import Change

_FILE = "before.json"
_TRACE = "git.trace2.jsonl"
_FROM_AFAR = frozenset({"update-ref", "branch", "fetch", "push"})
_MOVING = _FROM_AFAR | set("commit merge rebase reset cherry-pick revert pull am checkout switch".split())


def begin(work: Work) -> None:
    """Note how things are before an agent starts."""
    for change in baseline.begin(work.common_dir, work.build.id, _kept(work, "begin")):
        _tell(work, change, None, None)
    reflog = _reflog(work)
    facts = {
        "branches": _branches(work),
        "stashes": _stashes(work),
        "reflog": reflog.stat().st_size if reflog is not None and reflog.exists() else 0,
    }
    path = _before(work)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))


def tracing(directory: Path) -> dict[str, str]:
    """The variables by which git notes what an agent runs, in the attempt's directory."""
    return {
        "GIT_TRACE2_EVENT": str(directory / _TRACE),
        "GIT_TRACE2_EVENT_BRIEF": "1",
        "GIT_TRACE2_EVENT_NESTING": "1",
    }


def end(work: Work, task: str, attempt: int, tried: list[str], directory: Path, *, cut_off: bool = False) -> None:
    """Look at what is different now, put back what must be, and tell of it. Doing it again tells nothing new.

    ``cut_off``: it ended some time ago, and the user may have changed things since.
    """
    kept = _kept(work, f"{task}-{attempt}")
    for change in baseline.end(work.common_dir, work.build.id, kept, cut_off=cut_off):
        _tell(work, change, task, attempt)
    if tried:
        _say(work, task, attempt, "sandbox", f"tried to write outside of its sandbox: {named(tried)}", paths=tried)
    try:
        before: dict[str, Any] = json.loads(_before(work).read_text())
    except (OSError, ValueError):
        return
    moved = _moved(work, before, directory)
    if moved:
        _say(work, task, attempt, "branch", f"changed other branches: {named(moved)}", branches=moved)
    stashed = [name for name in _stashes(work) if name not in before["stashes"]]
    if stashed:
        _say(
            work, task, attempt, "stash", f"left a stash, which all worktrees share: {named(stashed)}", stashes=stashed
        )
    _before(work).unlink(missing_ok=True)
    (directory / _TRACE).unlink(missing_ok=True)  # as long as what the agent ran, arguments and all


def _moved(work: Work, before: dict[str, Any], directory: Path) -> list[str]:
    was, now = before["branches"], _branches(work)
    changed = [n for n in sorted({*now, *was}) if n != work.build.branch and now.get(n) != was.get(n)]
    if not changed:
        return []
    been = _been_at(work, int(before["reflog"]))
    ran_in, commands = _ran(directory)
    trees = {tree.branch: str(tree.path) in ran_in for tree in worktrees.list_worktrees(work.git)}
    others = {build.branch for build in work.plan.builds}

    def its_doing(name: str) -> bool:
        # One that is checked out elsewhere and is where this one's HEAD was: most likely it was only read, by a merge
        # or a reset, unless the agent ran what sets a ref from afar.
        if now.get(name) in been and (name not in trees or commands & _FROM_AFAR):
            return name in was or name not in others
        # Other builds' branches are made and removed by br3 all the time.
        return trees.get(name, name not in others)

    return [name for name in changed if its_doing(name)]


def _ran(directory: Path) -> tuple[set[str], set[str]]:
    """The worktrees in which the agent ran a git command that may move a branch, and the names of those commands."""
    places: dict[str, str] = {}
    moving: dict[str, str] = {}
    try:
        with (directory / _TRACE).open("rb") as trace:
            for line in trace:
                if b'"def_repo"' not in line and b'"cmd_name"' not in line:
                    continue
                event = event_of(line) or {}
                sid = str(event.get("sid"))
                if event.get("event") == "def_repo":
                    places.setdefault(sid, str(event.get("worktree")))
                elif event.get("name") in _MOVING:
                    moving[sid] = str(event["name"])
    except OSError:
        return set(), set()
    return {places[sid] for sid in moving if sid in places}, set(moving.values())


def _been_at(work: Work, offset: int) -> set[str]:
    """The commits that this worktree's HEAD was at, from that byte of its reflog on."""
    reflog = _reflog(work)
    try:
        data = reflog.read_bytes()[offset:] if reflog is not None else b""
    except OSError:
        return set()
    lines = [line.split(b" ", 2) for line in data.split(b"\n")]
    return {words[1].decode("ascii", "replace") for words in lines if len(words) == 3}


def _branches(work: Work) -> dict[str, str]:
    return {name: branch.commit for name, branch in refs.branches(work.git).items()}


def _stashes(work: Work) -> list[str]:
    """The stashes whose message names the build's branch, newest first; read from the file that git keeps them in."""
    try:
        lines = (work.common_dir / "logs" / "refs" / "stash").read_text(errors="replace").split("\n")
    except OSError:
        return []
    on = (f"WIP on {work.build.branch}:", f"On {work.build.branch}:")
    return [text for line in reversed(lines) if (text := line.partition("\t")[2]).startswith(on)]


def _reflog(work: Work) -> Path | None:
    own = worktrees.git_dir(work.worktree)
    return own / "logs" / "HEAD" if own else None


def _before(work: Work) -> Path:
    return work.common_dir / "br3" / "agents" / work.build.id / _FILE


def _kept(work: Work, name: str) -> Path:
    return work.build_dir / "undone" / name


def _tell(work: Work, change: Change, task: str | None, attempt: int | None) -> None:
    what = {"git-config": "git's configuration", "hooks": "hooks"}[change.rule]
    how = "put back" if change.undone else "since an attempt was cut off; look at it"
    others = [build for build in change.at_work if build != work.build.id]
    _say(
        work,
        task,
        attempt,
        change.rule,
        f"{what} changed while agents of {', '.join(change.at_work)} were at work, {how}: {named(change.what)}",
        severity="error",
        what=list(change.what),
        undone=change.undone,
        others=others,
    )


def _say(
    work: Work, task: str | None, attempt: int | None, rule: str, message: str, severity: str = "warning", **data: Any
) -> None:
    redacted = work.journal.redact(message)
    work.say("security.violation", severity, task=task, attempt=attempt, rule=rule, message=redacted, **data)
