"""What every worktree shares and no agent may change: the repository's configuration and its hooks.

While any agent is at work there is one baseline, taken when the first of them began; what differs from it is put back,
key by key and file by file, and what was taken away is kept. When nobody is at work, changes are the user's own.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from br3.repo.runner import Git, GitError
from br3.telemetry import Lock, is_held
from br3.workspace import children

_LOCK_S = 30.0
_WAIT_S = 30.0
_LOOK_S = 0.1

# Git itself writes these for whoever makes or removes a branch; they run nothing.
_ANYBODYS = ("branch.",)


@dataclass(frozen=True)
class Change:
    """``rule`` is ``git-config`` or ``hooks``; ``what`` the keys or files, ``undone`` whether they were put back."""

    rule: str
    what: tuple[str, ...]
    undone: bool
    at_work: tuple[str, ...]
    """The builds whose agents were at work meanwhile: one of them has done it."""


@dataclass
class _State:
    config: str | None = None
    hooks: dict[str, list[str]] = field(default_factory=dict)
    at_work: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    """What br3 itself, or an approved command, may be changing just now: process ids and a number each."""


def begin(common_dir: Path, build: str, kept: Path) -> list[Change]:
    """An agent of ``build`` is about to start; returns what was found changed since others began.

    What was cut off without an end is only told of: since then the user may have changed things.
    """
    with _lock(common_dir):
        state = _read(common_dir)
        living = _others_at_work(common_dir, state, build)
        compare = state.at_work and not (living and _busy(state))
        found = _compare(common_dir, state, kept, undo=bool(living)) if compare else []
        if not living:
            state = replace(_taken(common_dir), ours=state.ours)
        state.at_work = [*living, build]
        _write(common_dir, state)
    return found


def end(common_dir: Path, build: str, kept: Path, *, cut_off: bool = False) -> list[Change]:
    """An agent of ``build`` has ended: what was changed is put back, and what stood there goes to ``kept``.

    With ``cut_off`` nobody was there when it ended: what was changed is only told of, unless others are at work. A
    set-up that is at it just now is waited for, so that its changes are known from an agent's; for half a minute.
    """
    deadline = time.monotonic() + _WAIT_S
    while True:
        with _lock(common_dir):
            state = _read(common_dir)
            if build not in state.at_work:
                return []
            busy = _busy(state)
            if not busy or time.monotonic() >= deadline:
                undo = not busy and (not cut_off or bool(_others_at_work(common_dir, state, build)))
                found = _compare(common_dir, state, kept, undo=undo)
                state.at_work = [other for other in state.at_work if other != build]
                _write(common_dir, state)
                return found
        time.sleep(_LOOK_S)


@contextmanager
def ours(common_dir: Path) -> Iterator[None]:
    """What changes meanwhile is br3's own doing, or a command's that the user has approved: it is not put back.

    From inside an agent this does nothing.
    """
    if os.environ.get(children.MARK):
        yield
        return
    mine = f"{os.getpid()} {threading.get_ident()} {time.monotonic_ns()}"
    # Without room for the note the work goes on: the changes may then be taken for an agent's.
    with suppress(OSError), _lock(common_dir):
        before = _taken(common_dir)
        state = _read(common_dir)
        state.ours = [*(one for one in state.ours if _lives(one)), mine]
        _write(common_dir, state)
    try:
        yield
    finally:
        with suppress(OSError), _lock(common_dir):
            state = _read(common_dir)
            state.ours = [one for one in state.ours if one != mine]
            if state.at_work:
                _adopt(common_dir, state, before, _taken(common_dir))
            _write(common_dir, state)


def _adopt(common_dir: Path, state: _State, before: _State, after: _State) -> None:
    for name in {*before.hooks, *after.hooks}:
        if before.hooks.get(name) != after.hooks.get(name):
            state.hooks.pop(name, None)
            state.hooks |= {name: after.hooks[name]} if name in after.hooks else {}
    if before.config == after.config:
        return
    git = Git(common_dir)
    try:
        old, new = _entries(git, before.config), _entries(git, after.config)
        keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
        state.config = _with(git, common_dir / "config", state.config, keys, new)
    except GitError:  # an agent has broken the file meanwhile: that is seen when it ends
        return


def _busy(state: _State) -> bool:
    return any(_lives(one) for one in state.ours)


def _lives(one: str) -> bool:
    try:
        os.kill(int(one.split()[0]), 0)
    except (ProcessLookupError, ValueError, IndexError):
        return False
    except PermissionError:
        return True
    return True


def _others_at_work(common_dir: Path, state: _State, build: str) -> list[str]:
    return [other for other in state.at_work if other != build and is_held(common_dir, "build", other)]


def _compare(common_dir: Path, state: _State, kept: Path, *, undo: bool) -> list[Change]:
    by = tuple(state.at_work)
    found = []
    keys = _config(common_dir, state.config, kept, undo=undo)
    if keys:
        found.append(Change("git-config", tuple(keys), undo, by))
    files = _hooks(common_dir, state.hooks, kept, undo=undo)
    if files:
        found.append(Change("hooks", tuple(files), undo, by))
    return found


def _config(common_dir: Path, before: str | None, kept: Path, *, undo: bool) -> list[str]:
    path = common_dir / "config"
    now = _text(path)
    if now == before:
        return []
    git = Git(common_dir)
    try:
        wanted, there = _entries(git, before), _entries(git, now)
    except GitError:  # it is no configuration any more, and git would not even start on it
        if undo and before is not None:
            _keep(kept / "config", now)
            _replace(path, before)
        return ["(the whole file)"]
    keys = [key for key in dict.fromkeys([*wanted, *there]) if wanted.get(key) != there.get(key)]
    keys = [key for key in keys if not key.startswith(_ANYBODYS)]
    if keys and undo:
        _keep(kept / "config", now)
        text = _with(git, path, now, keys, wanted)
        _replace(path, text)
    return keys


def _with(git: Git, path: Path, text: str | None, keys: Sequence[str], values: Mapping[str, list[str]]) -> str:
    """The text of a configuration in which the keys have these values.

    Made in a copy beside ``path``: a lock that an agent has left would keep git from the file itself for ever.
    """
    draft = _draft(path, text)
    try:
        for key in keys:
            git("config", "--file", str(draft), "--unset-all", key, ok=(0, 5))
            for value in values.get(key, []):
                git("config", "--file", str(draft), "--add", key, value)
        return _text(draft) or ""
    finally:
        draft.unlink(missing_ok=True)


def _entries(git: Git, text: str | None) -> dict[str, list[str]]:
    listing = git(
        "config", "--file", "-", "--no-includes", "--list", "-z", input=(text or "").encode("utf-8", "surrogateescape")
    )
    found: dict[str, list[str]] = {}
    for entry in listing.fields:
        key, newline, value = entry.partition("\n")
        found.setdefault(key, []).append(value if newline else "true")
    return found


def _hooks(common_dir: Path, before: Mapping[str, Sequence[str]], kept: Path, *, undo: bool) -> list[str]:
    now = _hooks_there(common_dir)
    changed = [name for name in sorted({*before, *now}) if list(before.get(name, [])) != now.get(name)]
    for name in changed if undo else []:
        path = common_dir / "hooks" / name
        if os.path.lexists(path):
            (kept / "hooks").mkdir(parents=True, exist_ok=True)
            path.replace(kept / "hooks" / name)
        if name in before:
            kind, content = before[name]
            path.parent.mkdir(exist_ok=True)
            if kind == "link":
                path.symlink_to(base64.b64decode(content).decode("utf-8", "surrogateescape"))
            else:
                path.write_bytes(base64.b64decode(content))
                path.chmod(int(kind, 8))
    return changed


def _hooks_there(common_dir: Path) -> dict[str, list[str]]:
    """The hooks by name: their mode (or ``link``) and their content. Samples are none."""
    found: dict[str, list[str]] = {}
    try:
        entries = sorted(os.scandir(common_dir / "hooks"), key=lambda entry: entry.name)
    except OSError:
        return {}
    for entry in entries:
        if entry.name.endswith(".sample"):
            continue
        try:
            if entry.is_symlink():
                found[entry.name] = ["link", _packed(os.fsencode(os.readlink(entry.path)))]
            elif entry.is_file():
                mode = f"{entry.stat().st_mode & 0o7777:o}"
                found[entry.name] = [mode, _packed(Path(entry.path).read_bytes())]
        except OSError:
            continue
    return found


def _taken(common_dir: Path) -> _State:
    return _State(_text(common_dir / "config"), _hooks_there(common_dir))


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _keep(path: Path, text: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _draft(path, text).replace(path)


def _replace(path: Path, text: str) -> None:
    _draft(path, text).replace(path)


def _draft(path: Path, text: str | None) -> Path:
    """A file beside ``path`` to take its place, readable by nobody else: a remote's address may hold a password.

    Where ``path`` is there, by those who may read that.
    """
    draft = path.with_name(f"{path.name}.br3-{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        sink.write((text or "").encode("utf-8", "surrogateescape"))
    if path.exists():
        draft.chmod(path.stat().st_mode & 0o7777)
    return draft


def _lock(common_dir: Path) -> Lock:
    return Lock(common_dir, "baseline", "all").acquire(wait_s=_LOCK_S)


def _path(common_dir: Path) -> Path:
    return common_dir / "br3" / "baseline.json"


def _read(common_dir: Path) -> _State:
    try:
        raw: dict[str, Any] = json.loads(_path(common_dir).read_text())
        return _State(**raw)
    except (OSError, ValueError, TypeError):
        return _State()


def _write(common_dir: Path, state: _State) -> None:
    path = _path(common_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, json.dumps(asdict(state)))
