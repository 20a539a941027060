"""Finished Python environments, kept by digest, so that four worktrees pay for one.

The first worktree runs the plan's set-up commands as they stand. When all of them are known to do nothing but make
``.venv`` (uv or venv and pip), and indeed nothing else appeared, a copy of that ``.venv`` is kept; the next worktree
with an equal digest gets a copy of it, with the path of the first replaced by its own. Anything else is run in every
worktree.

The digest covers: the commands, the platform, the interpreter, the files that say what to install, the top-level
names of the project (an editable install lists them), the installers' own settings, and the whole tree where the
build runs the project's code. Kept under ``<common dir>/br3/environments/``, the last three, a week at most:
an unpinned requirement should not stay old for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from br3.errors import Interrupted
from br3.repo.runner import Git
from br3.telemetry.locks import Lock, LockHeld
from br3.workspace.copying import DRAFT, copy_tree

KEPT = 3
MAX_AGE_S = 7 * 24 * 3600.0

_PYTHON = r"(?:\.venv/bin/)?python(?:3(?:\.\d+)?)?"
_KNOWN = [
    re.compile(pattern)
    for pattern in (
        r"uv venv( (?!/|\.\.)\S+)*",
        r"uv pip install .+",
        r"uv sync( \S+)*",
        rf"{_PYTHON} -m venv( --\S+)* \.venv",
        rf"(?:{_PYTHON} -m pip|(?:\.venv/bin/)?pip3?) install .+",
    )
]
_DESCRIBING = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "uv.toml",
    ".python-version",
)
_LEFT_BY_INSTALLS = re.compile(r"(^|/)(\.venv|[^/]+\.egg-info|__pycache__|build|uv\.lock)(/|$)")
_HOPELESS_S = 600.0
"""How long nobody waits for an environment that could not be made or kept."""


def recognised(commands: Sequence[str]) -> bool:
    """Whether the commands are known to make ``.venv`` and nothing else."""
    return bool(commands) and all(
        words is not None and any(k.fullmatch(" ".join(words)) for k in _KNOWN) for words in map(_words, commands)
    )


def digest(commands: Sequence[str], worktree: Path) -> str:
    """What two worktrees must have in common to have equal environments."""
    facts: list[object] = [list(commands), sys.platform, os.uname().machine, _interpreter()]
    for path in [*(worktree / name for name in _DESCRIBING), *sorted(worktree.glob("*requirements*.txt"))]:
        if path.is_file():
            facts.append([path.name, hashlib.sha256(path.read_bytes()).hexdigest()])
    for directory in (worktree, worktree / "src") if _installs_project(commands) else ():
        facts.append(_importable(directory))
    facts.append(sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(("PIP_", "UV_"))))
    if _runs_project_code(commands, worktree):
        facts.append(Git(worktree)("rev-parse", "HEAD^{tree}").text)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def provide(
    commands: Sequence[str],
    worktree: Path,
    common_dir: Path,
    run_all: Callable[[], None],
    *,
    fresh: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """Give ``worktree`` its environment: from one that is kept, or by ``run_all``. Says which: ``copied``, ``set up``.

    Whoever comes first builds; the others wait for it and copy. When it fails they run the commands themselves.
    """
    if not recognised(commands):
        run_all()
        return "set up"
    store = common_dir / "br3" / "environments"
    kept = store / digest(commands, worktree)
    if not fresh and _take(kept, worktree):
        return "copied"
    hopeless = store / f".hopeless-{kept.name}"
    with _turn(common_dir, kept.name, cancelled):
        if not fresh and _take(kept, worktree):
            return "copied"
        if not _recent(hopeless):
            store.mkdir(parents=True, exist_ok=True)
            hopeless.touch()  # taken back when it could be kept; a failure leaves it
            before = _extras(worktree)
            run_all()
            appeared = _extras(worktree) - before
            if (worktree / ".venv").is_dir() and all(_LEFT_BY_INSTALLS.search(path) for path in appeared):
                _keep(kept, worktree)
                _forget_old(store)
                hopeless.unlink()
            return "set up"
    run_all()  # what cannot be shared need not be made one after another
    return "set up"


def _words(command: str) -> list[str] | None:
    """The words of a command that is nothing but words; None when the shell would do more than split it."""
    if any(sign in command for sign in "$`\n~*?{}#"):
        return None
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    return None if any(set(word) <= set("();<>|&") for word in words) else words


def _turn(common_dir: Path, name: str, cancelled: Callable[[], bool]) -> Lock:
    """The lock of an environment, as soon as whoever makes it just now is done; Interrupted when asked to stop."""
    while True:
        try:
            return Lock(common_dir, "environment", name).acquire(wait_s=0.3)
        except LockHeld:
            if cancelled():
                raise Interrupted("stopped while another build made the environment") from None


def _recent(marker: Path) -> bool:
    try:
        return time.time() - marker.stat().st_mtime < _HOPELESS_S
    except OSError:
        return False


def _take(kept: Path, worktree: Path) -> bool:
    try:
        facts = json.loads((kept / "facts.json").read_text())
    except (OSError, ValueError):
        return False
    if time.time() - float(facts["made"]) > MAX_AGE_S or not Path(facts["interpreter"]).exists():
        return False
    target = worktree / ".venv"
    draft = worktree / f"{DRAFT}venv-{os.getpid()}"
    try:
        copy_tree(kept / "venv", draft, keep_shared=True)
        _relocate(draft, facts["origin"], str(worktree))
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        return False
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    os.utime(kept)
    return True


def _keep(kept: Path, worktree: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=kept.parent))
    try:
        copy_tree(worktree / ".venv", draft / "venv", keep_shared=True)
        interpreter = (worktree / ".venv" / "bin" / "python").resolve()
        facts = {"origin": str(worktree), "made": time.time(), "interpreter": str(interpreter)}
        (draft / "facts.json").write_text(json.dumps(facts))
        shutil.rmtree(kept, ignore_errors=True)
        draft.rename(kept)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)  # the environment itself is fine; only the next one costs more


def _relocate(venv: Path, origin: str, destination: str) -> None:
    """Replace the origin's path in what is known to carry it: scripts, activation, editable installs."""
    pairs = [
        (os.fsencode(origin), os.fsencode(destination)),
        (quote(origin).encode(), quote(destination).encode()),
    ]
    candidates = [venv / "pyvenv.cfg", *(venv / "bin").iterdir()]
    for site in venv.glob("lib*/python*/site-packages"):
        candidates += [*site.glob("*.pth"), *site.glob("__editable__*"), *site.glob("_*_editable*.py")]
        candidates += [*site.glob("*.dist-info/direct_url.json"), *site.glob("*.egg-link")]
    for path in candidates:
        if path.is_symlink():
            link = os.readlink(path)
            if link.startswith(f"{origin}{os.sep}"):
                path.unlink()
                path.symlink_to(destination + link.removeprefix(origin))
        elif path.is_file():
            content = path.read_bytes()
            changed = content
            for old, new in pairs:
                # Only whole path components: /a/b must not rewrite /a/bc.
                changed = re.sub(re.escape(old) + rb"(?![\w.-])", new.replace(b"\\", b"\\\\"), changed)
            if changed != content:
                # By rename: the file may be linked to the installer's cache, and so to every other environment.
                fresh = path.with_name(f".br3-{path.name}")
                fresh.write_bytes(changed)
                shutil.copystat(path, fresh)
                fresh.replace(path)


def _extras(worktree: Path) -> set[str]:
    listing = Git(worktree)("status", "--porcelain", "-z", "--ignored", "--untracked-files=normal", "--no-renames")
    return {entry[3:] for entry in listing.fields}


def _forget_old(store: Path) -> None:
    kept = sorted((p for p in store.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    for draft in store.glob(".draft-*"):
        if time.time() - draft.stat().st_mtime > 3600:
            shutil.rmtree(draft, ignore_errors=True)


def _installs_project(commands: Sequence[str]) -> bool:
    """Whether a command installs from the worktree itself, so that its top-level names are written down."""
    return any(re.search(r"(?:^|\s)(?:-e|--editable|sync|\.(?:\[[^]]*\])?)(?:\s|=|$)", c) for c in commands)


def _importable(directory: Path) -> list[str]:
    """The modules and packages at the top of a directory."""
    if not directory.is_dir():
        return []
    entries = [e for e in os.scandir(directory) if not e.name.startswith(".") and e.name != "__pycache__"]
    modules = [e.name for e in entries if e.name.endswith(".py")]
    return sorted(modules + [e.name for e in entries if e.is_dir() and any(Path(e.path).glob("*.py"))])


def _interpreter() -> list[str]:
    found = [shutil.which(name) for name in ("python3", "python")]
    return [str(Path(path).resolve()) for path in found if path]


def _names_more(words: Sequence[str], worktree: Path) -> bool:
    """Whether the commands name files or directories that the digest does not hash by themselves, or lists that do."""
    hashed = {*_DESCRIBING, *(path.name for path in worktree.glob("*requirements*.txt"))}
    for word in words:
        path = word.rpartition("=")[2]
        if path.strip("./") == "" or path.startswith((".venv", "-", ".[")) or not (worktree / path).exists():
            continue
        if path not in hashed or re.search(r"(?m)^\s*-", (worktree / path).read_text(errors="replace")):
            return True
    return False


def _runs_project_code(commands: Sequence[str], worktree: Path) -> bool:
    """Whether the outcome depends on more of the project than its description: a version read from code, a compiled
    extension, an install that copies the project itself."""
    if (worktree / "setup.py").exists():
        return True
    try:
        project = tomllib.loads((worktree / "pyproject.toml").read_text())
    except (OSError, ValueError):
        project = {}
    if project.get("project", {}).get("dynamic") or project.get("build-system", {}).get("backend-path"):
        return True
    words = [word for command in commands for word in shlex.split(command)]
    if _names_more(words, worktree):
        return True
    local = [i for i, word in enumerate(words) if word.startswith(".") and not word.startswith(".venv/")]
    return any(words[i - 1] not in ("-e", "--editable", ".venv") and words[i] != ".venv" for i in local)
