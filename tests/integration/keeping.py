"""What many tests of a module begin with, made once and put back: a repository, its worktrees, and HOME.

It comes back at the same place, since git, the journal and approvals name paths: modules take ``kept_repo`` as their
``repo``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Scratch, begun

_kept: dict[tuple[Path, str], Path] = {}


@pytest.fixture(scope="module")
def kept_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for one test after the other."""
    return tmp_path_factory.mktemp("kept") / "place"


@pytest.fixture
def kept_repo(kept_place: Path) -> Scratch:
    """As ``repo``, at the module's place."""
    _clear(kept_place)
    return begun(kept_place / "project")


def once(repo: Scratch, name: str, make: Callable[[], object]) -> None:
    """Do ``make``, which changes what lies beside ``repo``, and HOME; the next time its outcome is put back."""
    place, home = repo.path.parent, Path(os.environ["HOME"])
    if (place, name) not in _kept:
        make()
        copy = place.with_name(f"copy-{len(_kept)}")
        shutil.copytree(place, copy / "place", symlinks=True)
        shutil.copytree(home, copy / "home", symlinks=True)
        _kept[place, name] = copy
        return
    copy = _kept[place, name]
    _clear(place)
    shutil.copytree(copy / "place", place, symlinks=True)
    shutil.copytree(copy / "home", home, symlinks=True, dirs_exist_ok=True)
    for line in repo.git("worktree", "list", "--porcelain").splitlines():
        if line.startswith("worktree "):
            repo.git("status", cwd=Path(line.removeprefix("worktree ")))  # files have other inodes than git has seen


def _clear(place: Path) -> None:
    if place.exists():
        aside = Path(tempfile.mkdtemp(dir=place.parent))
        place.rename(aside / "place")  # what the test before has left in the background may still delete in it
        shutil.rmtree(aside, ignore_errors=True)
