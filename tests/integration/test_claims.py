"""Claims of active builds, as git's hooks heed them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Scratch, kill_all, making, script, toml, until

pytestmark = pytest.mark.usefixtures("tracked")

WAIT = "import os, time\nopen('../begun', 'w')\nwhile not os.path.exists('../go'): time.sleep(0.02)\n"


def begin(repo: Scratch, tmp_path: Path, other: str = "", more: str = "") -> None:
    """A detached run with hooks installed, in which `a` is at work and owns src/**; ``other`` is what `b` does."""
    wait = script(tmp_path / "tools", "wait.py", WAIT)
    text = '[plan]\nname = "t"\n[setup]\n[verify]\nrun = ["true"]\n[defaults]\nagent = "shell"\nretries = 0\n'
    work = f"{wait}; {making('src')}; echo x > src/a"
    text += f'[[build]]\nid = "a"\nowns = ["src/**"]\n{more}\ncommand = {toml(work)}\n'
    if other:
        other = f"until test -e ../begun; do :; done; {other}"
        text += f'[[build]]\nid = "b"\ncommand = {toml(other)}\n'
    repo.plan(text)
    repo.br3("hooks", "install")
    repo.br3("run", "--trust", "--detach")
    until(lambda: repo.worktree("begun").exists())


def commit(repo: Scratch, name: str) -> subprocess.CompletedProcess[str]:
    repo.write(name, "x\n")
    repo.git("add", name)
    words = ["git", "commit", "--quiet", "-m", "mine"]
    return subprocess.run(words, cwd=repo.path, capture_output=True, text=True, check=False)


def go(repo: Scratch) -> Any:
    repo.worktree("go").touch()
    return until(lambda: repo.events("run.completed", "run.failed"))


def test_a_person_is_told_of_a_claim_and_commits_all_the_same(repo: Scratch, tmp_path: Path) -> None:
    begin(repo, tmp_path)
    said = commit(repo, "src/mine")
    assert said.returncode == 0, said.stderr
    assert "note: src/mine" in said.stderr and "claimed by a, which is at work" in said.stderr
    assert commit(repo, "elsewhere").stderr == ""
    go(repo)
    assert commit(repo, "src/later").stderr == ""
    assert not list((repo.common_dir / "br3" / "claims").iterdir())


def test_a_build_cannot_commit_where_another_one_is_at_work(repo: Scratch, tmp_path: Path) -> None:
    touching = f"{making('src')}; echo b > src/b; git add src; git commit -qm b && exit 7; git rm -qf src/b; echo y > y"
    begin(repo, tmp_path, touching)
    until(lambda: [e for e in repo.events("build.verified") if e.build == "b"])
    blocked = [e for e in repo.events("hook.blocked") if e.build == "b"]
    assert [(e.data["rule"], e.data["file"]) for e in blocked] == [("claimed", "src/b")]
    go(repo)
    assert repo.git("ls-tree", "-r", "--name-only", "build/b").split() == ["README.md", "br3.toml", "y"]


def test_shared_ground_is_claimed_by_nobody(repo: Scratch, tmp_path: Path) -> None:
    begin(repo, tmp_path, more="shared = true")
    assert commit(repo, "src/mine").stderr == ""
    go(repo)


def test_a_claim_that_a_killed_run_left_behind_counts_for_nothing(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    begin(repo, tmp_path)
    kill_all(tracked)
    assert [path.name for path in (repo.common_dir / "br3" / "claims").iterdir()] == ["a"]
    assert commit(repo, "src/mine").stderr == ""
