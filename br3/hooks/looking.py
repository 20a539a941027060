"""How the hooks stand: for ``br3 hooks status``, and the part of ``br3 doctor`` that concerns them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from br3 import __version__
from br3.hooks import compiling, installing, places, shims
from br3.landing.scratch import is_scratch
from br3.plan.model import Plan
from br3.repo.runner import Git
from br3.repo.worktrees import Repository, list_worktrees
from br3.workspace.provisioning import is_being_set_up, is_set_up


@dataclass(frozen=True)
class HookState:
    """One hook. ``state``: installed, chained (another's hook is called first), missing, replaced."""

    hook: str
    state: str
    said: str

    @property
    def ok(self) -> bool:
        return self.state in ("installed", "chained")


@dataclass(frozen=True)
class Trouble:
    """Something that is not as it should be, and what mends it."""

    said: str
    hint: str


@dataclass(frozen=True)
class Standing:
    """How hooks stand in this worktree, and in the others. ``form`` is None where nothing is installed."""

    form: str | None
    directory: Path | None
    hooks: tuple[HookState, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def ok(self) -> bool:
        return self.form is not None and not self.troubles and all(state.ok for state in self.hooks)


def standing(repository: Repository, plan: Plan | None = None) -> Standing:
    """Look at what is installed. ``plan`` is what br3.toml says now, when that is known."""
    made = installing.read(repository.common_dir)
    if made is None:
        damaged = Trouble(f"{places.manifest(repository.common_dir)} is damaged", "br3 hooks install")
        return Standing(None, None, (), (damaged,) if places.is_installed(repository.common_dir) else ())
    git = Git(repository.worktree or repository.common_dir)
    configured = installing.configured(git)
    directory = None if made.form == "config" else installing.hooks_directory(git)
    if directory is None:
        states = [_by_config(hook, configured) for hook in made.hooks]
    else:
        states = [_by_shim(directory, hook) for hook in made.hooks]
    troubles = [
        *_form(git, made, directory, configured),
        *_what_they_rest_on(repository.common_dir, made.hooks),
        *_out_of_date(made, plan),
        *(_other_worktrees(repository, git, directory) if directory is not None else []),
    ]
    return Standing(made.form, directory, tuple(states), tuple(troubles))


def bare_with_checkout(repository: Repository) -> Trouble | None:
    """``core.bare = true`` in a repository that has a checkout: what a test suite leaves that ran in a hook's
    environment. Git then refuses to work in it."""
    git = repository.git
    if repository.common_dir.name != ".git" or not (repository.common_dir / "index").exists():
        return None
    if git("config", "--local", "--type=bool", "core.bare", ok=(0, 1)).text != "true":
        return None
    return Trouble(
        f"core.bare is true, but {repository.home} has a checkout: something ran git init in a hook's environment",
        f"git -C {quote(str(repository.common_dir))} config --local core.bare false",
    )


def not_set_up(repository: Repository, plan: Plan | None) -> list[Path]:
    """Linked worktrees that should have been set up and that nobody has set up: no hook sees ``--no-checkout`` and
    ``--orphan``, or what was added before there were hooks."""
    if not compiling.has_setup(repository.common_dir, plan):
        return []
    found = list_worktrees(repository.git)[1:]
    there = [tree.path for tree in found if tree.path.is_dir() and not tree.bare and not is_scratch(tree.path)]
    return [path for path in there if not is_set_up(path) and not is_being_set_up(repository, path)]


def _by_config(hook: str, configured: tuple[str, ...]) -> HookState:
    if hook in configured:
        return HookState(hook, "installed", "by git's configuration")
    return HookState(hook, "missing", f"hook.br3-{hook} is not in git's configuration")


def _by_shim(directory: Path, hook: str) -> HookState:
    place = directory / hook
    try:
        content = place.read_bytes()
    except OSError:
        return HookState(hook, "missing", f"{place} is not there")
    if not shims.is_ours(content):
        aside = [name for suffix in installing.RENAMED if shims.is_our_shim(directory / (name := f"{hook}{suffix}"))]
        who = shims.maker(content)
        if aside and aside[0].endswith(".legacy"):
            return HookState(hook, "chained", f"{who} calls it, as {aside[0]}")
        how = f" and put br3's aside as {aside[0]}, which it never calls" if aside else ""
        return HookState(hook, "replaced", f"{who} took its place{how}")
    if not os.access(place, os.X_OK):
        return HookState(hook, "replaced", f"{place} may not be executed")
    beside = directory / f"{hook}{shims.KEPT}"
    if beside.exists():
        return HookState(hook, "chained", f"{shims.maker(beside.read_bytes())} is called first")
    return HookState(hook, "installed", "")


def _form(git: Git, made: installing.Manifest, directory: Path | None, configured: tuple[str, ...]) -> list[Trouble]:
    found = []
    if directory is None:
        if installing.version(git) < installing.CONFIG_SINCE:
            found.append(
                Trouble("this git is too old for hooks by configuration: none of them runs", "br3 hooks install")
            )
        doubled = [place for place in made.directories if any(shims.is_our_shim(Path(place) / h) for h in places.HOOKS)]
        if doubled:
            found.append(Trouble(f"both forms are installed, also {doubled[0]}: hooks run twice", "br3 hooks install"))
        return found
    if configured and installing.version(git) >= installing.CONFIG_SINCE:
        found.append(Trouble("both forms are installed: hooks run twice", "br3 hooks install"))
    if str(directory) not in made.directories and made.directories:
        found.append(
            Trouble(
                f"core.hooksPath has changed: git looks into {directory}, br3's hooks are in "
                f"{next(iter(made.directories))}",
                "br3 hooks install",
            )
        )
    return found


def _what_they_rest_on(common_dir: Path, hooks: tuple[str, ...]) -> list[Trouble]:
    home = places.home(common_dir)
    parts = [*hooks, *places.SHARED, "guard.json", "keywords"]
    lost = [name for name in parts if not (home / name).is_file()]
    if lost:
        return [Trouble(f"{', '.join(lost)} of {home} missing: hooks that guard let nothing pass", "br3 hooks install")]
    try:
        lines = (home / "settings").read_text(errors="surrogateescape").removesuffix("\n").split("\n")
    except OSError:
        lines = []
    if not lines or lines[0] != "br3-settings=1" or lines[-1] != "end=1":
        return [Trouble(f"the settings in {home} are damaged: hooks that guard let nothing pass", "br3 hooks install")]
    found = []
    pythons = [line.removeprefix("python=") for line in lines if line.startswith("python=")]
    if not any(os.access(python, os.X_OK) for python in pythons):
        found.append(Trouble(f"no interpreter of hooks is there any more: {', '.join(pythons)}", "br3 hooks install"))
    gone = [line.partition("=")[2] for line in lines if line.startswith(("check=", "entry=", "program="))]
    gone = [path for path in gone if not os.path.isfile(path)]
    if gone:
        found.append(Trouble(f"br3 is not where it was when hooks were installed: {gone[0]}", "br3 hooks install"))
    journal = common_dir / "br3" / "journal"
    if not os.access(journal, os.W_OK):
        found.append(Trouble(f"hooks cannot record anything: {journal} may not be written", "mend its permissions"))
    return found


def _out_of_date(made: installing.Manifest, plan: Plan | None) -> list[Trouble]:
    if made.version != __version__:
        return [Trouble(f"hooks are of br3 {made.version}, this is {__version__}", "br3 hooks install")]
    if plan is not None and made.plan != compiling.plan_digest(plan):
        return [Trouble("br3.toml has changed since hooks were compiled", "br3 trust")]
    if plan is not None and plan.hooks.reference_transaction != (places.OPT_IN in made.hooks):
        said = "wants" if plan.hooks.reference_transaction else "no longer wants"
        return [Trouble(f"br3.toml {said} {places.OPT_IN}", "br3 hooks install")]
    return []


def _other_worktrees(repository: Repository, git: Git, directory: Path) -> list[Trouble]:
    """Worktrees for which a relative core.hooksPath leads to where nothing of br3's is."""
    path = git("config", "--get", "core.hooksPath", ok=(0, 1)).text
    if not path or path.startswith(("/", "~")):
        return []
    found = []
    for tree in list_worktrees(git):
        if tree.bare or not tree.path.is_dir() or (tree.path / path).resolve() == directory.resolve():
            continue
        if not shims.is_our_shim(tree.path / path / "pre-commit"):
            found.append(
                Trouble(
                    f"no hook of br3 runs in {tree.path}: core.hooksPath is {path}, and it has none there",
                    f"cd {quote(str(tree.path))} && br3 hooks install",
                )
            )
    return found
