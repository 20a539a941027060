"""``br3 demo --scene landing``: two builds that pass alone and break together (docs/LANDING.md shows its session)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import Scratch


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scratch, str]:
    """The scene, played once for all tests of this file."""
    root = tmp_path_factory.mktemp("scene")
    env = {**os.environ, "HOME": str(root)}
    command = [sys.executable, "-m", "br3", "demo", "--scene", "landing", str(root / "prices")]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return Scratch(root / "prices"), done.stdout


def test_base_passes_and_the_second_is_aside(played: tuple[Scratch, str]) -> None:
    repo, _ = played
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        cwd=repo.path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert not (repo.path / "prices" / "receipt.py").exists()
    assert repo.head("build/receipt"), "what was put aside is still there"
