"""Puts hooks in and takes them out. What was there before is never overwritten, and comes back byte for byte.

By configuration where git can (2.54), else as shims in the directory that git looks into. A hook that is in the way of
a shim is renamed beside it; a copy of its bytes, by their hash, is in ``backups/`` before anything moves. Again is the
same as once. Git processes: at most 5 for shims, 2 more for each hook by configuration.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any

from br3 import __version__
from br3.errors import Refused, UsageError
from br3.hooks import compiling, places, shims
from br3.plan.model import Plan
from br3.repo.runner import Git
from br3.repo.worktrees import Repository
from br3.telemetry import Lock
from br3.telemetry.hooks import begin
from br3.workspace import baseline

CONFIG_SINCE = (2, 54)
_LEGACY = ".legacy"
RENAMED = (_LEGACY, ".old")
"""What other managers call a hook that they found in their way."""

_RUN_LEGACY = ("pre-commit", "prek")
"""Whose hooks run what they have renamed."""


@dataclass
class Manifest:
    """What was installed. ``directories``: by path, by hook, ``{sha256, maker}`` of what was
    there before, and ``legacy`` and ``legacy_mode`` of what that ran as NAME.legacy."""

    form: str = "shims"
    hooks: tuple[str, ...] = ()
    directories: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    version: str = __version__
    plan: str | None = None


@dataclass(frozen=True)
class Done:
    """What an installation or its removal came to. ``notes`` are for people."""

    form: str
    directory: Path | None
    hooks: tuple[str, ...]
    kept: dict[str, str]
    """By hook whose hook is called first."""
    notes: tuple[str, ...] = ()


def read(common_dir: Path) -> Manifest | None:
    """The manifest; None when nothing is installed, or it can't be read."""
    try:
        data = json.loads(places.manifest(common_dir).read_text())
        places_ = {os.path.normpath(common_dir / name): dict(hooks) for name, hooks in data["directories"].items()}
        return Manifest(str(data["form"]), tuple(data["hooks"]), places_, str(data["version"]), data.get("plan"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def install(
    repository: Repository,
    plan: Plan | None,
    *,
    form: str | None = None,
    tracked: bool = False,
    outside: bool = False,
) -> Done:
    """Install the hooks, or bring what is installed up to date.

    ``tracked`` and ``outside`` permit a hooks' directory that git tracks, and one outside the repository. Refused
    without them, UsageError when ``form`` needs a newer git.
    """
    common_dir, git = repository.common_dir, Git(repository.worktree or repository.common_dir)
    with Lock(common_dir, "hooks", "install").acquire(wait_s=10), baseline.ours(common_dir):
        before = read(common_dir)
        # Shims go on working when git becomes newer; the configuration does not when it becomes older.
        chosen = form or ("shims" if before and before.form == "shims" else _best_form(git))
        if chosen == "config" and version(git) < CONFIG_SINCE:
            raise UsageError("git takes hooks from its configuration since 2.54", hint="br3 hooks install --form shims")
        directory = hooks_directory(git) if chosen == "shims" else None
        if directory is not None:
            _permit(repository, git, directory, tracked=tracked, outside=outside)
        wanted = places.ALL if plan and plan.hooks.reference_transaction else places.HOOKS
        for inside in ("", "owns", "backups"):
            _clear_drafts(places.home(common_dir) / inside)
        compiling.compile_all(common_dir, plan)
        begin(common_dir)
        made = before or Manifest()
        made.form, made.hooks, made.version = chosen, wanted, __version__
        made.plan = compiling.plan_digest(plan)
        notes: list[str] = []
        if directory is None:
            _write(common_dir, made)
            for place in list(made.directories):
                notes += _take_out(common_dir, made, Path(place))
            _configure(git, wanted)
        else:
            _unconfigure(git)
            kept = made.directories.setdefault(str(directory), {})
            directory.mkdir(parents=True, exist_ok=True)
            _clear_drafts(directory)
            for hook in places.ALL:
                if hook in wanted:
                    notes += _put_in(common_dir, made, directory, hook, shared=_is_outside(repository, directory))
                elif shims.is_our_shim(directory / hook):
                    notes += _take_out_one(common_dir, directory, hook, kept)
        _write(common_dir, made)
        kept = made.directories.get(str(directory), {}) if directory else {}
        return Done(chosen, directory, wanted, _makers(kept), tuple(notes))


def refresh(common_dir: Path, plan: Plan) -> bool:
    """Compile anew for hooks that are installed, when the plan or br3 has changed; says whether it did anything."""
    made = read(common_dir)
    if made is None:
        return False
    with Lock(common_dir, "hooks", "install").acquire(wait_s=10):
        compiling.compile_all(common_dir, plan)
        if (made.plan, made.version) == (compiling.plan_digest(plan), __version__):
            return False
        made.plan, made.version = compiling.plan_digest(plan), __version__
        _write(common_dir, made)
    return True


def uninstall(repository: Repository) -> Done:
    """Take out what ``install`` put in, in every directory that it did; put back what was there. Refused when nothing
    is installed."""
    common_dir = repository.common_dir
    with Lock(common_dir, "hooks", "install").acquire(wait_s=10), baseline.ours(common_dir):
        made = read(common_dir)
        if made is None:  # also without a manifest, or with a damaged one: what git looks into is known
            git = Git(repository.worktree or common_dir)
            directory = hooks_directory(git)
            shared = _is_outside(repository, directory)  # with repositories that have br3's hooks
            ours = not shared and any(shims.is_our_shim(directory / hook) for hook in places.ALL)
            if not (ours or configured(git) or places.is_installed(common_dir)):
                raise Refused("br3's hooks are not installed in this repository")
            made = Manifest(directories={str(directory): {}})
        _unconfigure(repository.git)
        kept = {hook: maker for hooks in made.directories.values() for hook, maker in _makers(hooks).items()}
        notes: list[str] = []
        for place in list(made.directories):
            notes += _take_out(common_dir, made, Path(place))
        _remove_home(common_dir)
        return Done(made.form, None, made.hooks, kept, tuple(notes))


def version(git: Git) -> tuple[int, int]:
    """Git's version, major and minor."""
    found = re.search(r"(\d+)\.(\d+)", git("--version").text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def hooks_directory(git: Git) -> Path:
    """Where git looks for hooks from here. With an empty core.hooksPath that is the root of the filesystem, which git
    does not tell."""
    asked = git("rev-parse", "--path-format=absolute", "--git-path", "hooks", ok=(0, 128))
    return Path(asked.text) if asked.code == 0 else Path("/")


def configured(git: Git) -> tuple[str, ...]:
    """The hooks of ours that git's configuration has."""
    found = git("config", "--local", "--null", "--get-regexp", r"^hook\.br3-.*\.command$", ok=(0, 1)).fields
    return tuple(entry.split("\n")[0].removeprefix("hook.br3-").removesuffix(".command") for entry in found)


def _best_form(git: Git) -> str:
    return "config" if version(git) >= CONFIG_SINCE else "shims"


def _permit(repository: Repository, git: Git, directory: Path, *, tracked: bool, outside: bool) -> None:
    """Refuse a directory that is not ours to write into without being told."""
    resolved = directory.resolve()
    if resolved.is_relative_to(repository.common_dir):
        return
    root = repository.worktree
    if root is None or _is_outside(repository, directory):
        if not outside:
            raise Refused(
                f"core.hooksPath leads outside of the repository, to {directory}: every repository with it would get "
                "br3's hooks",
                # A relative path would lead nowhere from linked worktrees.
                hint="br3 hooks install --outside, or: git config --local core.hooksPath "
                + quote(os.fspath(repository.common_dir / "hooks")),
            )
        return
    name = os.fspath(resolved.relative_to(root.resolve()))
    if tracked:
        return
    if name == "." or git("ls-files", "-z", "--", f":(top,literal){name}").fields:
        raise Refused(
            f"core.hooksPath leads to {name}, which git tracks: br3's hooks would become part of your commits",
            hint="br3 hooks install --tracked, or call br3 from your own hooks there: br3 hooks run pre-commit",
        )
    if git("check-ignore", "-q", "--no-index", "--", f"{name}/pre-commit", ok=(0, 1)).code != 0:
        raise Refused(
            f"core.hooksPath leads to {name}, which git does not ignore: br3's hooks would show up in git status",
            hint="br3 hooks install --tracked, or ignore the directory",
        )


def _is_outside(repository: Repository, directory: Path) -> bool:
    """Whether a hooks' directory is no part of the repository, so that others may use it too."""
    resolved, root = directory.resolve(), repository.worktree
    inside = resolved.is_relative_to(repository.common_dir)
    return not inside and (root is None or not resolved.is_relative_to(root.resolve()))


def _put_in(common_dir: Path, made: Manifest, directory: Path, hook: str, *, shared: bool) -> list[str]:
    """Put one shim in; what is in its way is backed up, then renamed."""
    place, beside = directory / hook, directory / f"{hook}{shims.KEPT}"
    kept = made.directories[str(directory)]
    found = _content(place)
    for name in (hook, *(f"{hook}{suffix}" for suffix in RENAMED)):
        content = _content(directory / name)
        if content is not None and not shims.is_ours(content):
            _back_up(common_dir, content)
            if name.endswith(_LEGACY):
                mode = (directory / name).stat().st_mode & 0o777
                kept.setdefault(hook, {}).update({"legacy": sha256(content).hexdigest(), "legacy_mode": mode})
    if found is not None and _calls_us(directory, hook, found):
        # Our shim is run from there, so there it stays, also when that manager is installed once more.
        _replace_older(common_dir, directory, hook, kept, found)
        _write(common_dir, made)
        compiling.replace(directory / f"{hook}{_LEGACY}", shims.shim(hook, _content(beside)), 0o755)
        return []
    notes = _bring_back_renamed(common_dir, directory, hook, kept)
    if found is not None and not shims.is_ours(found):
        older = _content(beside)
        if older is not None and older != found:
            _back_up(common_dir, older)
            notes.append(
                f"{hook}: {shims.maker(found)} had replaced br3's hook; what that had called before is kept as "
                f"{_backup_path(common_dir, older)}"
            )
        kept.setdefault(hook, {}).update({"sha256": sha256(found).hexdigest(), "maker": shims.maker(found)})
        _write(common_dir, made)  # before anything moves
        os.replace(place, beside)
    was = _content(beside)
    if was is None and hook in kept:
        kept[hook].pop("maker", None)
    compiling.replace(place, shims.shim(hook, was, shared=shared), 0o755)
    return notes


def _calls_us(directory: Path, hook: str, found: bytes) -> bool:
    """Whether the hook that is there runs our shim, which it has renamed."""
    return shims.maker(found) in _RUN_LEGACY and shims.is_our_shim(directory / f"{hook}{_LEGACY}")


def _replace_older(common_dir: Path, directory: Path, hook: str, kept: dict[str, dict[str, Any]], found: bytes) -> None:
    """When what we keep is an older hook of the manager whose hook is there now, keep what that had run instead."""
    beside = directory / f"{hook}{shims.KEPT}"
    was = _content(beside)
    if was is None or shims.maker(was) != shims.maker(found):
        return
    former = kept.get(hook, {}).get("legacy")
    backup = places.home(common_dir) / "backups" / former if former else None
    if backup is not None and backup.exists():
        content = backup.read_bytes()
        compiling.replace(beside, content, int(kept[hook].get("legacy_mode", 0o755)))
        kept[hook].update({"sha256": former, "maker": shims.maker(content)})
    else:
        beside.unlink()
        kept.pop(hook, None)


def _bring_back_renamed(common_dir: Path, directory: Path, hook: str, kept: dict[str, dict[str, Any]]) -> list[str]:
    """Where another manager has renamed our shim, put what it had kept in that place: so that manager's own removal
    gives it back."""
    beside = directory / f"{hook}{shims.KEPT}"
    for suffix in RENAMED:
        renamed = directory / f"{hook}{suffix}"
        if not shims.is_our_shim(renamed):
            continue
        now = _content(directory / hook)
        if now is None or shims.is_ours(now):
            renamed.unlink()
            return []
        _replace_older(common_dir, directory, hook, kept, now)
        if _content(beside) is None:
            renamed.unlink()
        else:
            os.replace(beside, renamed)
        return [f"{hook}: {shims.maker(now)} had put br3's hook aside as {renamed.name}"]
    return []


def _take_out(common_dir: Path, made: Manifest, directory: Path) -> list[str]:
    """Take our shims out of one directory."""
    kept = made.directories.get(str(directory), {})
    notes: list[str] = []
    _clear_drafts(directory)
    for hook in places.ALL:
        notes += _take_out_one(common_dir, directory, hook, kept)
    made.directories.pop(str(directory), None)
    return notes


def _take_out_one(common_dir: Path, directory: Path, hook: str, kept: dict[str, dict[str, Any]]) -> list[str]:
    place, beside = directory / hook, directory / f"{hook}{shims.KEPT}"
    was = kept.get(hook, {})
    found = _content(place)
    if found is not None and not shims.is_ours(found):
        # Another manager's hook has taken our place. What it put aside as its predecessor was us.
        _bring_back_renamed(common_dir, directory, hook, kept)
        left = _content(beside)
        if left is None:
            return []
        notes = []
        if left != found:
            _back_up(common_dir, left)
            notes.append(
                f"{hook}: {shims.maker(found)} is there now; what was there before br3 is kept as "
                f"{_backup_path(common_dir, left)}"
            )
        beside.unlink()
        return notes
    if _content(beside) is not None:
        os.replace(beside, place)
    elif found is not None:
        place.unlink()
        # lefthook's own removal deletes its hook wherever that is, and puts back what it had found where it is free.
        old = directory / f"{hook}.old"
        content = _content(old)
        if was.get("maker") == "lefthook" and content is not None and not shims.is_ours(content):
            os.replace(old, place)
    for suffix in RENAMED:
        renamed = directory / f"{hook}{suffix}"
        if shims.is_our_shim(renamed):
            renamed.unlink()
    return []


def _makers(kept: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {hook: str(was["maker"]) for hook, was in kept.items() if "maker" in was}


def _configure(git: Git, hooks: tuple[str, ...]) -> None:
    for hook in configured(git):
        if hook not in hooks:
            git("config", "--local", "--remove-section", f"hook.br3-{hook}")
    for hook in hooks:
        git("config", "--local", "--replace-all", f"hook.br3-{hook}.event", hook)
        git("config", "--local", "--replace-all", f"hook.br3-{hook}.command", shims.command(hook))


def _unconfigure(git: Git) -> None:
    for hook in configured(git):
        git("config", "--local", "--remove-section", f"hook.br3-{hook}")


def _content(path: Path) -> bytes | None:
    """The bytes of a hook (through a link), None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return b"" if path.is_symlink() else None


def _backup_path(common_dir: Path, content: bytes) -> Path:
    return places.home(common_dir) / "backups" / sha256(content).hexdigest()


def _back_up(common_dir: Path, content: bytes) -> None:
    """Keep the bytes of a hook; those that are kept already are never written again."""
    path = _backup_path(common_dir, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        compiling.replace(path, content)


def _write(common_dir: Path, made: Manifest) -> None:
    data = {
        "schema": 1,
        "version": made.version,
        "form": made.form,
        "hooks": made.hooks,
        "directories": {_told_from(common_dir, place): hooks for place, hooks in made.directories.items()},
        "plan": made.plan,
    }
    compiling.replace(places.manifest(common_dir), json.dumps(data, indent=1).encode())


def _told_from(common_dir: Path, place: str) -> str:
    """A hooks' directory as the manifest has it: one that is part of the repository goes where that is moved or copied
    to."""
    whole = common_dir.parent if common_dir.name == ".git" else common_dir
    return os.path.relpath(place, common_dir) if Path(place).is_relative_to(whole) else place


def _clear_drafts(directory: Path) -> None:
    """Remove what an installation left that was killed while it wrote a file. The caller holds the lock."""
    for draft in directory.glob(f".*{compiling.DRAFT}*"):
        draft.unlink()


def _remove_home(common_dir: Path) -> None:
    """Everything but the backups: they are the user's. The manifest last, so that the same can be done again."""
    import shutil

    manifest = places.manifest(common_dir)
    for left in places.home(common_dir).iterdir() if places.home(common_dir).is_dir() else ():
        if left.name not in ("backups", manifest.name):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    manifest.unlink(missing_ok=True)
