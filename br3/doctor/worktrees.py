"""Worktrees that git, br3 and the disk do not agree about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shlex import quote
from urllib.parse import unquote

from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.errors import Refused
from br3.landing.scratch import is_scratch
from br3.plan.model import DEFAULT_WORKTREE_TEMPLATE
from br3.repo import trash
from br3.repo import worktrees as registry
from br3.repo.worktrees import Worktree, claimed_by, git_dir, lost_touch, worktree_path
from br3.telemetry import Lock
from br3.telemetry.locks import held
from br3.workspace import ports
from br3.workspace.notes import name_of, read_notes
from br3.workspace.occupants import occupants

_OF_TRAINS = ("base", "checklist", "resolving", "push")
"""Locks of those who work in throw-away worktrees."""
_NAME = "br3-of-a-worktree"


def worktrees(patient: Patient) -> Iterator[Finding]:
    """Registered and gone, there and not registered, moved, copied, left by a killed command, waiting to be deleted."""
    found = [
        *(finding for tree in patient.linked for finding in _registered(patient, tree)),
        *(finding for ground in patient.grounds for finding in _lying(patient, ground)),
        *_trash(patient),
    ]
    yield from found
    if not found:
        number = len(patient.linked)
        yield Finding("worktrees", True, f"{number} linked, each where it belongs" if number else "none")


def _registered(patient: Patient, tree: Worktree) -> Iterator[Finding]:
    path, git = tree.path, patient.repository.git
    build = patient.build_of.get(path.resolve())
    if not path.exists():
        yield from _gone(patient, tree, build)
        return
    entry = claimed_by(path)
    if lost_touch(git, path) is not None:
        return  # told where it lies
    if entry is not None and entry.exists() and entry.resolve().parent != patient.common_dir / "worktrees":
        said = f"{path} belongs to {entry.resolve().parent.parent}: this repository is a copy of that one"
        name = registry.entry_of(patient.repository.git, path)
        way = f"to forget it here: rm -r {quote(str(name))}" if name else "see git worktree list"
        yield Finding("worktrees", False, said, way)
    elif git_dir(path) is None:
        way = f"git worktree repair {quote(str(path))}"
        yield Finding("worktrees", False, f"{path} has a .git file that leads nowhere", way)
    elif is_scratch(path):
        if not any(one.split(" ")[0] in _OF_TRAINS for one in held(patient.common_dir)) and path not in occupants(
            [path]
        ):
            said = f"{path} was to be thrown away, and whoever made it is gone"
            way = f"git worktree remove --force {quote(str(path))}"
            mend = partial(_throw_away, patient, path) if _locks_of(patient, path) else None
            yield Finding("worktrees", True, said, way, True, mend)
    else:
        run = read_notes(path).get("run")
        if run and not (patient.repository.br3_dir / "runs" / str(run)).is_dir():
            said = f"{path} is of run {run}, of which nothing is left"
            yield Finding("worktrees", True, said, f"br3 worktree remove {quote(path.name)}", True)


def _gone(patient: Patient, tree: Worktree, build: str | None) -> Iterator[Finding]:
    path, name = tree.path, quote(str(tree.path))
    if tree.locked:
        yield Finding(
            "worktrees", True, f"{path} is not there, and locked: {tree.locked_because or 'no reason'}", odd=True
        )
    elif registry.entry_of(patient.repository.git, path) in _lost(patient):
        return  # it was moved together with the repository, and is told where it lies
    elif not path.parent.is_dir():
        said = f"{path} is not there, nor is what held it: perhaps it is not mounted"
        yield Finding("worktrees", True, said, f"git worktree remove {name}, when it is gone for good", True)
    else:
        said = f"{path} is gone, and git still has it registered"
        said += f"; {tree.branch} has what was committed" if tree.branch else ""
        again = build is not None and patient.session is not None and _is_of(patient, build)
        way = f"br3 up {build} makes it again, git worktree remove {name} forgets it" if again else None
        barred = _may_come_back(patient, tree)
        said += f"; {barred}" if barred else ""
        way = (way or f"git worktree remove {name}") + (", when it is gone for good" if barred else "")
        mend = partial(_forget, patient, tree, build) if tree.branch and not barred else None
        yield Finding("worktrees", False, said, way, mend=mend)


def _may_come_back(patient: Patient, tree: Worktree) -> str | None:
    """Why the registration of a worktree that is not there must not be dropped by itself, or None."""
    parent = tree.path.parent
    if ports.may_be_unmounted(parent, [str(one.path) for one in patient.linked]):
        return f"nothing of what was in {parent} is there: perhaps it is not mounted"
    entry = registry.entry_of(patient.repository.git, tree.path)
    words = ("--git-dir", str(entry), "diff-index", "--cached", "--quiet", "HEAD", "--")
    if entry is None or patient.repository.git(*words, ok=(0, 1, 128)).code != 0:
        return "what was staged in it is in no commit"
    return None


def _lost(patient: Patient) -> set[Path]:
    """The registrations whose worktrees lie elsewhere by now."""
    lying = [path for ground in patient.grounds for path in _directories(ground)]
    found = [lost_touch(patient.repository.git, path) for path in lying]
    return {patient.common_dir / "worktrees" / entry.name for entry in found if entry is not None}


def _is_of(patient: Patient, build: str) -> bool:
    return patient.session is not None and any(one.id == build for one in patient.session.plan.builds)


def _lying(patient: Patient, ground: Path) -> Iterator[Finding]:
    """Directories that are worktrees by their .git file, and that git does not have there."""
    here = {tree.path.resolve() for tree in patient.linked}
    git = patient.repository.git
    for path in _directories(ground):
        entry = claimed_by(path)
        if entry is None or path.name.startswith(trash.PREFIX):
            continue
        lost = lost_touch(git, path)
        if lost is not None:
            said = f"{path} belongs to a repository at {lost.parent.parent}, which is not there: one was moved"
            way = f"git -C {quote(str(patient.common_dir))} worktree repair {quote(str(path))}"
            ours = _agrees(patient, path, lost.name)
            way = way if ours else f"if this is that repository, and no copy of it: {way}"
            yield Finding("worktrees", False, said, way, mend=partial(_repair, patient, path) if ours else None)
        elif not entry.exists() and path.resolve() not in here:
            said = f"{path} is no worktree any more: git has forgotten it, its files are still there"
            yield Finding("worktrees", True, said, f"look through it; then rm -r {quote(str(path))}", True)


def _directories(ground: Path) -> list[Path]:
    try:
        return sorted(path for path in ground.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _trash(patient: Patient) -> Iterator[Finding]:
    for ground in patient.grounds:
        lying = [path for path in trash.lying_in(ground) if git_dir(path) is None]
        if lying:
            what = "1 removed worktree waits" if len(lying) == 1 else f"{len(lying)} removed worktrees wait"
            way = f"rm -r {quote(str(ground))}/{trash.PREFIX}*"
            said = f"{what} to be deleted in {ground}"
            yield Finding("worktrees", True, said, way, True, partial(_empty, ground))


def _forget(patient: Patient, tree: Worktree, build: str | None) -> str:
    locks = [("build", build)] if build else []
    # Of who makes one for the branch, and of who sets up or removes the one at the path.
    locks += [("worktree", f"of {tree.branch}"), ("worktree", name_of(tree.path))]
    with ExitStack() as held_here:
        for kind, name in locks:
            held_here.enter_context(Lock(patient.common_dir, kind, name).acquire())
        if tree.path.exists():
            raise Refused(f"{tree.path} is there again")
        barred = _may_come_back(patient, tree)
        if barred:
            raise Refused(f"{tree.path} stays registered: {barred}")
        patient.repository.git("worktree", "remove", str(tree.path))
    ports.free(patient.common_dir, tree.path)
    return f"git has forgotten {tree.path}; {tree.branch} stays"


def _agrees(patient: Patient, path: Path, name: str) -> bool:
    """Whether HEAD, index and files of a worktree are as one for our registration of it: in a copy of the repository
    to which it belongs they are not, once anything was done there."""
    entry = patient.common_dir / "worktrees" / name
    git = patient.repository.git
    look = ("status", "--porcelain", "--untracked-files=no", "--no-renames")
    seen = git("--git-dir", entry, "--work-tree", path, *look, ok=(0, 128))
    return seen.code == 0 and not seen.out


def _repair(patient: Patient, path: Path) -> str:
    lost = lost_touch(patient.repository.git, path)
    if lost is None or not _agrees(patient, path, lost.name):
        raise Refused(f"{path} is not as this repository knows it")
    patient.repository.git("worktree", "repair", str(path))
    return f"git worktree repair {path}"


def _throw_away(patient: Patient, path: Path) -> str:
    with ExitStack() as held_here:
        for kind, name in _locks_of(patient, path):
            held_here.enter_context(Lock(patient.common_dir, kind, name).acquire())
        there = [str(one.pid) for one in occupants([path]).get(path, ())]
        if there or not is_scratch(path):
            raise Refused(f"{path} is in use" + (f" by {', '.join(there)}" if there else ""))
        registry.remove(patient.repository.git, path)
    ports.free(patient.common_dir, path)
    registry.empty_trash(path.parent)
    return f"{path} is removed"


def _locks_of(patient: Patient, path: Path) -> list[tuple[str, str]]:
    """The locks of whoever may use a throw-away worktree, by its name; none when that tells nothing."""
    plan = patient.session.plan if patient.session is not None else patient.plan
    template = plan.worktrees if plan is not None else DEFAULT_WORKTREE_TEMPLATE
    before, _, after = map(
        re.escape, str(worktree_path(patient.repository, template, _NAME).resolve()).partition(_NAME)
    )
    found = re.fullmatch(rf"{before}br3-(train|checklist|push)-([^/+]+)(\+\d+)?{after}", str(path.resolve()))
    if found is None:
        return []
    own = {"train": [], "checklist": [("checklist", unquote(found[2]))], "push": [("push", "all")]}
    return [("base", unquote(found[2])), *own[found[1]]]


def _empty(ground: Path) -> str:
    registry.empty_trash(ground)
    return f"what was removed in {ground} is being deleted"
