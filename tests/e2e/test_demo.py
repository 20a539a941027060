"""The demonstration, as the README's first command ends: real repository, real builds, real release."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from br3.demo.making import PROJECT
from tests.conftest import Scratch


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scratch, str]:
    """One demonstration for all tests of this file; HOME is empty, no key, no identity."""
    root = tmp_path_factory.mktemp("demo")
    home = root / "home"
    home.mkdir()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("BR3_", "GIT_", "ANTHROPIC_", "XDG_"))},
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    command = [sys.executable, "-m", "br3", "demo", str(root / "tally")]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return Scratch(root / "tally"), done.stdout + done.stderr


def test_the_tag_exists_and_base_holds_four_merge_commits(demo: tuple[Scratch, str]) -> None:
    repo, _ = demo
    assert repo.head("v0.2.0^{commit}") == repo.head("main")
    subjects = repo.git("log", "--merges", "--first-parent", "--format=%s", "main").splitlines()
    assert subjects == [
        "feat: Wire events into the ledger",
        "feat: Classify entries by name",
        "feat: Add persistence layer",
        "docs: Add a guide and end-to-end tests",
    ]


def test_no_worktree_and_no_branch_is_left(demo: tuple[Scratch, str]) -> None:
    repo, _ = demo
    assert len(repo.git("worktree", "list").splitlines()) == 1
    assert repo.git("branch", "--format=%(refname:short)") == "main"
    assert not repo.worktree("ai").parent.exists()
    assert repo.git("status", "--porcelain") == ""


def test_every_criterion_is_met(demo: tuple[Scratch, str]) -> None:
    _, said = demo
    assert said.count("✓") == (PROJECT / "br3.toml").read_text().count("[[criterion]]") == 4
    assert "✗" not in said and "\n?" not in said


def test_one_build_failed_its_first_verification_and_repaired_itself(demo: tuple[Scratch, str]) -> None:
    repo, _ = demo
    failed = [e.build for e in repo.events("quality.failed")]
    assert failed == ["persistence"]
    assert [(e.build, e.task) for e in repo.events("attempt.started") if e.task == "repair"] == [
        ("persistence", "repair")
    ]


def test_it_prints_each_command_that_it_runs(demo: tuple[Scratch, str]) -> None:
    _, said = demo
    commands = re.findall(r"^\$ (br3 .+)$", said, flags=re.MULTILINE)
    assert commands == ["br3 plan show", "br3 up --trust", "br3 run", "br3 status", "br3 finish"]


def test_what_landed_works(demo: tuple[Scratch, str]) -> None:
    repo, _ = demo
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."],
        cwd=repo.path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "Ran 17 tests" in done.stderr and done.returncode == 0


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    done = subprocess.run([sys.executable, "-m", "br3", "demo", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 3
    assert "not empty" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
