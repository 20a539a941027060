"""The tests of hooks once more, with a git that takes hooks from its configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.external.managers import new_git

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in (ROOT / "tests" / "integration").glob("test_hooks_*.py"))


@pytest.mark.parametrize("file", FILES)
def test_hooks_do_the_same_by_configuration(file: str) -> None:
    git = new_git()
    if git is None:
        pytest.skip("no git with hooks by configuration: tests/external/install says why")
    words = ["-q", "-n", "2", "-p", "no:cacheprovider", f"tests/integration/{file}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={**os.environ, "BR3_TEST_GIT": str(git)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
