"""How a project is set up and tested, read from the files it has. Nothing is run to find out.

Each kind of project is one function from the root to what it needs, or None when it is not of that kind;
a project of several kinds needs all of it.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Have = Callable[[str], bool]

_DEVELOPMENT = ("dev", "test", "tests")
_PYTEST = re.compile(r"\bpytest\b")
_PYTEST_STYLE = re.compile(r"^(?:import pytest|from pytest|(?:async )?def test_)", re.MULTILINE)
# `npm init` writes this as the test script of a project without tests.
_NO_TEST = "no test specified"
_TEST_FILES_READ = 200


@dataclass(frozen=True)
class Detected:
    """``kinds`` such as ``("python", "node")``; commands for sh in a worktree; ignored files to bring along."""

    kinds: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()


def on_path(tool: str) -> bool:
    """Whether that program can be started here."""
    return shutil.which(tool) is not None


def detect(root: Path, have: Have) -> Detected:
    """What was found below ``root``; ``have`` says whether a tool is installed. Empty when nothing was found."""
    found = [kind for look in (_python, _node, _rust, _go) if (kind := look(root, have))]
    return Detected(
        kinds=tuple(name for kind in found for name in kind.kinds),
        setup=tuple(command for kind in found for command in kind.setup),
        verify=tuple(command for kind in found for command in kind.verify),
        copy=(".env",) if (root / ".env").is_file() else (),
    )


def _python(root: Path, have: Have) -> Detected | None:
    requirements = sorted(path.name for path in root.glob("requirements*.txt"))
    pyproject = root / "pyproject.toml"
    if not (requirements or any((root / name).is_file() for name in (pyproject.name, "setup.py", "setup.cfg"))):
        return None
    project = _toml(pyproject)
    setup = _python_setup(root, project, requirements, uv=have("uv"))
    if not _uses_pytest(root):
        directory = next((f" -s {name}" for name in ("tests", "test") if (root / name).is_dir()), "")
        return Detected(("python",), setup, (f"python -m unittest discover{directory}",))
    if not _installs_pytest(root, project, requirements):
        setup = (*setup, "uv pip install pytest" if have("uv") else ".venv/bin/python -m pip install pytest")
    return Detected(("python",), setup, ("python -m pytest -q",))


def _python_setup(root: Path, project: dict[str, Any], requirements: list[str], *, uv: bool) -> tuple[str, ...]:
    extras = _development(_table(project, "project", "optional-dependencies"))
    groups = _development(_table(project, "dependency-groups"))
    if uv and (root / "uv.lock").is_file():
        chosen = [f"--extra {name}" for name in extras] + [f"--group {name}" for name in groups if name != "dev"]
        return (" ".join(["uv sync", *chosen]),)
    # A second set-up of the same worktree must not fail on, or empty, the environment of the first.
    make = "uv venv --allow-existing" if uv else "python3 -m venv .venv"
    install = "uv pip install" if uv else ".venv/bin/python -m pip install"
    parts = []
    if {"project", "build-system"} & project.keys() or (root / "setup.py").is_file():
        parts += ["-e", shlex.quote(f".[{','.join(extras)}]") if extras else "."]
    parts += [f"--group {name}" for name in groups]
    parts += [f"-r {shlex.quote(name)}" for name in requirements]
    # The pip that comes with Python 3.11 to 3.13 is older than its option --group.
    renew = [f"{install} 'pip>=25.1'"] if groups and not uv else []
    return (make, *renew, " ".join([install, *parts])) if parts else (make,)


def _development(names: dict[str, Any]) -> list[str]:
    return [name for name in _DEVELOPMENT if name in names]


def _uses_pytest(root: Path) -> bool:
    configured = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini")
    if any((root / name).is_file() for name in ("pytest.ini", "conftest.py", "tests/conftest.py")):
        return True
    if any(_PYTEST.search(_read(path)) for path in [root / name for name in configured]):
        return True
    if any(_PYTEST.search(_read(path)) for path in root.glob("requirements*.txt")):
        return True
    tests = [path for name in ("tests", "test") for path in sorted((root / name).rglob("*.py"))]
    return any(_PYTEST_STYLE.search(_read(path)) for path in tests[:_TEST_FILES_READ])


def _installs_pytest(root: Path, project: dict[str, Any], requirements: list[str]) -> bool:
    extras, groups = _table(project, "project", "optional-dependencies"), _table(project, "dependency-groups")
    installed = [
        _table(project, "project").get("dependencies"),
        *(extras[name] for name in _development(extras)),
        *(groups[name] for name in _development(groups)),
        *(_read(root / name) for name in requirements),
    ]
    return _PYTEST.search(str(installed)) is not None


def _node(root: Path, have: Have) -> Detected | None:
    if not (root / "package.json").is_file():
        return None
    tool, install = _node_tool(root)
    test = _table(_json(root / "package.json"), "scripts").get("test")
    tested = isinstance(test, str) and test.strip() and _NO_TEST not in test
    run = f"{tool} run test" if tool == "bun" else f"{tool} test"
    return Detected(("node",), (install,), (run,) if tested else ())


def _node_tool(root: Path) -> tuple[str, str]:
    by_lock_file = {
        "pnpm-lock.yaml": ("pnpm", "pnpm install --frozen-lockfile"),
        "yarn.lock": ("yarn", "yarn install --frozen-lockfile"),
        "bun.lock": ("bun", "bun install --frozen-lockfile"),
        "bun.lockb": ("bun", "bun install --frozen-lockfile"),
        "package-lock.json": ("npm", "npm ci"),
        "npm-shrinkwrap.json": ("npm", "npm ci"),
    }
    found = next((how for lock, how in by_lock_file.items() if (root / lock).is_file()), None)
    # Without a lock file npm would write one, which no build has asked for.
    return found or ("npm", "npm install --no-package-lock")


def _rust(root: Path, have: Have) -> Detected | None:
    if not (root / "Cargo.toml").is_file():
        return None
    return Detected(("rust",), ("cargo fetch",), ("cargo test",))


def _go(root: Path, have: Have) -> Detected | None:
    if not (root / "go.mod").is_file():
        return None
    return Detected(("go",), ("go mod download",), ("go test ./...",))


def _read(path: Path) -> str:
    """The text of a file; empty when there is none. What is no UTF-8 is replaced: only words are looked for."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file; empty when it is broken: whoever uses the file for real will say so."""
    try:
        return tomllib.loads(_read(path))
    except ValueError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(_read(path))
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _table(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        inner = data.get(key)
        data = inner if isinstance(inner, dict) else {}
    return data
