"""What hooks need to know, from the plan into files that sh and the guard read without looking anything up.

Each file is replaced as a whole, so a commit at the same moment reads the old one or the new one. What makes the
settings whole is their last line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from br3.errors import UsageError
from br3.guard import contents
from br3.guard import settings as guarding
from br3.hooks import places
from br3.plan import globs
from br3.plan.frozen import FROZEN_FILE, digest, freeze, thaw
from br3.plan.model import Hooks, Plan
from br3.workspace import trust

_ANY_SIZE = 2**62
_NUL, _END = "\x01", "\x02\x02"
"""What stands for a NUL and for the end of the diff, see ``guard.sh``."""


DRAFT = ".br3-"
"""What the name of a file has that is being written, behind its own and before letters of chance."""


def compile_all(common_dir: Path, plan: Plan | None) -> None:
    """Write scripts, settings, keywords and the plan for the hooks of a repository; ``plan`` is None where there is
    no br3.toml."""
    home = places.home(common_dir)
    home.mkdir(parents=True, exist_ok=True)
    for script in sorted(places.scripts().iterdir()):
        if script.is_file() and script.name in (*places.ALL, *places.SHARED):
            replace(home / script.name, script.read_bytes(), 0o644 if script.suffix else 0o755)
    hooks = plan.hooks if plan is not None else Hooks()
    owns = {build.id: build.owns for build in plan.builds if build.owns} if plan is not None else {}
    (home / "owns").mkdir(exist_ok=True)
    for build, patterns in owns.items():
        replace(home / "owns" / build, _pathspecs(patterns).encode(errors="surrogateescape"))
    for left in (home / "owns").iterdir():
        if left.name not in owns:
            left.unlink()
    replace(home / "guard.json", json.dumps(_for_guard(hooks, owns), indent=1).encode())
    replace(home / "keywords", "".join(f"{word}\n" for word in (*contents.prefilter(), _NUL, _END)).encode())
    if plan is not None:
        freeze(plan, home)
    else:
        (home / FROZEN_FILE).unlink(missing_ok=True)
    replace(home / "settings", _settings(common_dir, plan, hooks, list(owns)).encode(errors="surrogateescape"))


def compiled_plan(common_dir: Path) -> Plan | None:
    """The plan as it was compiled for the hooks; None where there was none."""
    home = places.home(common_dir)
    return thaw(home).plan if (home / FROZEN_FILE).exists() else None


def plan_digest(plan: Plan | None) -> str | None:
    """What tells whether the plan has changed since it was compiled."""
    return None if plan is None else digest(plan) + json.dumps(asdict(plan.hooks), sort_keys=True)


def interpreters() -> list[Path]:
    """Pythons that can run the guard, the fastest to start first; hooks take the first that is still there."""
    names = ["/usr/bin/python3", "/usr/local/bin/python3", "/opt/homebrew/bin/python3"]
    base = getattr(sys, "_base_executable", None) or sys.executable
    found = [base, sys.executable, *(shutil.which(f"python3.{minor}") or "" for minor in range(14, 10, -1))]
    system = [name for name in names if _is_recent(name)]
    there = [name for name in dict.fromkeys([*found, *system]) if name and os.access(name, os.X_OK)]
    return [Path(name) for name in there if not _is_script(name)]


def _is_script(python: str) -> bool:
    """Whether it is a version manager's, which runs another Python, or none, depending on where it is called."""
    with open(python, "rb") as file:
        return file.read(2) == b"#!"


def has_setup(common_dir: Path, plan: Plan | None) -> bool:
    """Whether there is a set-up for new worktrees, and all of it approved."""
    if plan is None or not (plan.setup.run or plan.setup.copy or any(build.setup for build in plan.builds)):
        return False
    wanted = [command for command in trust.commands_of(plan) if command.purpose == "set-up"]
    return not trust.missing(common_dir, wanted)


def unapproved(common_dir: Path, plan: Plan) -> list[str]:
    """The purposes (``set-up``, ``pre-push``) that have commands which hooks would run and nobody has approved."""
    wanted = [command for command in trust.commands_of(plan) if command.purpose in ("set-up", "pre-push")]
    return list(dict.fromkeys(command.purpose for command in trust.missing(common_dir, wanted)))


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file as a whole or not at all; one that says the same already is left alone."""
    try:
        if path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
            return
    except OSError:
        pass
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{DRAFT}")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _settings(common_dir: Path, plan: Plan | None, hooks: Hooks, owners: list[str]) -> str:
    lines = [("br3-settings", "1")]
    lines += [("protect", pattern) for pattern in hooks.protect]
    lines += [("max_bytes", str(hooks.max_bytes or _ANY_SIZE)), ("required", str(int(hooks.required)))]
    lines += [("commit_msg", hooks.commit_msg or ""), ("setup", str(int(has_setup(common_dir, plan))))]
    lines += [("python", str(path)) for path in interpreters()]
    lines += [("check", str(places.check())), ("entry", str(places.entry())), ("program", sys.executable)]
    lines += [("owner", build) for build in owners]
    lines += [("end", "1")]
    for key, value in lines:
        if "\n" in value:
            raise UsageError(f"the path of br3's {key} has a line break, which hooks cannot read: {value!r}")
    return "".join(f"{key}={value}\n" for key, value in lines)


def _for_guard(hooks: Hooks, owns: dict[str, tuple[str, ...]]) -> dict[str, object]:
    return {
        "schema": guarding.SCHEMA,
        "max_bytes": hooks.max_bytes,
        "fail_on": hooks.fail_on,
        "off": list(hooks.off),
        "ignore": [globs.as_regex(pattern) for pattern in hooks.ignore],
        "protect": list(hooks.protect),
        "owns": {build: [globs.as_regex(pattern) for pattern in patterns] for build, patterns in owns.items()},
        "owns_action": hooks.owns,
        "gitleaks": hooks.gitleaks,
    }


def _pathspecs(patterns: tuple[str, ...]) -> str:
    """What a build owns as pathspecs that exclude it, a line each, so that git itself says whether anything else is
    staged. A pattern with a line break is left out: then the guard decides."""
    return "".join(f":(top,exclude,glob){name}\n" for pattern in patterns for name in globs.as_pathspecs(pattern))


def _is_recent(python: str) -> bool:
    """Whether the name leads to a Python that is new enough, by its own name: none is started for it."""
    name = os.path.basename(os.path.realpath(python))
    minor = name.removeprefix("python3.")
    return minor != name and minor.isdigit() and int(minor) >= 11
