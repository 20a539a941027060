"""What an agent has changed beyond its own ground, seen after each attempt; configuration and hooks are put back.

Others work in the repository meanwhile, the user among them. So a branch or a stash is told of only where it is this
worktree's doing: its HEAD was there, or nobody has the branch checked out; a stash names the build's branch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from br3.orchestrator.proving import named
from br3.orchestrator.working import Work
from br3.repo import refs, worktrees
from br3.workspace import baseline
from br3.workspace.baseline import Change

_FILE = "before.json"


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


def end(work: Work, task: str, attempt: int, tried: list[str]) -> None:
    """Look at what is different now, put back what must be, and tell of it. Doing it again tells nothing new."""
    for change in baseline.end(work.common_dir, work.build.id, _kept(work, f"{task}-{attempt}")):
        _tell(work, change, task, attempt)
    if tried:
        _say(work, task, attempt, "sandbox", f"tried to write outside of its sandbox: {named(tried)}", paths=tried)
    try:
        before: dict[str, Any] = json.loads(_before(work).read_text())
    except (OSError, ValueError):
        return
    moved = _moved(work, before)
    if moved:
        _say(work, task, attempt, "branch", f"changed other branches: {named(moved)}", branches=moved)
    stashed = [name for name in _stashes(work) if name not in before["stashes"]]
    if stashed:
        _say(
            work, task, attempt, "stash", f"left a stash, which all worktrees share: {named(stashed)}", stashes=stashed
        )
    _before(work).unlink(missing_ok=True)


def _moved(work: Work, before: dict[str, Any]) -> list[str]:
    mine = {build.branch for build in work.plan.builds}
    now = _branches(work)
    changed = [
        n for n in sorted({*now, *before["branches"]}) if n not in mine and now.get(n) != before["branches"].get(n)
    ]
    if not changed:
        return []
    been = _been_at(work, int(before["reflog"]))
    elsewhere = {tree.branch for tree in worktrees.list_worktrees(work.git)}
    return [name for name in changed if now.get(name) in been or name not in elsewhere]


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
        f"{what} changed, {how}: {named(change.what)}",
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
