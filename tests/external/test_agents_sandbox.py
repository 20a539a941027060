"""The sandbox with the real bubblewrap: what an agent can do in it, and what it cannot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from br3.agents import sandbox
from br3.agents.sandbox import Ground
from br3.errors import Refused
from tests.conftest import Scratch, until

Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def ground(repo: Scratch, tmp_path: Path, sealed: Path) -> Ground:
    """A build's worktree beside another one's, in a sandbox that works here."""
    assert shutil.which("bwrap"), "bubblewrap is not installed: apt install bubblewrap"
    sandbox.check()
    (sealed / ".ssh").mkdir()
    (sealed / ".ssh" / "id_ed25519").write_text("the key")
    (sealed / ".netrc").write_text("the password")
    runs = repo.common_dir / "br3" / "runs" / "r" / "b"
    runs.mkdir(parents=True)
    (runs / "prompt.md").write_text("what another build was asked")
    for build in ("a", "b"):
        repo.git("worktree", "add", "--quiet", "-b", f"build/{build}", str(repo.worktree(build)))
    ground = Ground(
        worktree=repo.worktree("a"),
        git_dir=repo.common_dir / "worktrees" / "a",
        common_dir=repo.common_dir,
        branch="build/a",
        private=tmp_path / "private",
        home=sealed,
    )
    sandbox.prepare(ground)
    return ground


@pytest.fixture
def run(ground: Ground) -> Run:
    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = sandbox.wrap(["/bin/sh", "-c", command], ground)
        return subprocess.run(words, cwd=ground.worktree, capture_output=True, text=True, check=False)

    return run


def test_an_agent_writes_and_commits_in_its_worktree(ground: Ground, run: Run, repo: Scratch) -> None:
    before = repo.head("build/a")
    done = run(
        "echo x > a.txt && git add a.txt && git commit -qm one && git commit -q --amend -m two && git status -sb"
    )
    assert done.returncode == 0, done.stderr
    assert repo.head("build/a") == before
    left = sandbox.bring_back(ground)
    assert left == repo.head("build/a") != before
    assert repo.git("log", "-1", "--format=%s", "build/a") == "two"
    assert repo.git("status", "--porcelain", cwd=ground.worktree) == ""
    assert repo.git("fsck", "--strict") == ""
    assert sandbox.bring_back(ground) is None


def test_rebase_and_reset_work(ground: Ground, run: Run) -> None:
    done = run(
        "for n in 1 2 3; do echo $n > $n && git add . && git commit -qm $n || exit 1; done\n"
        "git rebase -q --onto HEAD~2 HEAD~1 && git reset -q --hard HEAD~1 && git log --format=%s"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "begin"]


PLACES = {
    "main worktree": "{repo}/README.md",
    "another build's worktree": "{repo}.worktrees/b/README.md",
    "~/.ssh": "{home}/.ssh/authorized_keys",
    "hooks": "{common}/hooks/pre-commit",
    "config": "{common}/config",
    "another branch's worktree": "{common}/worktrees/b/HEAD",
    "packed refs": "{common}/packed-refs",
    "main": "{common}/refs/heads/main",
    "alternates": "{common}/objects/info/alternates",
    "a pack": "{common}/objects/pack/x.pack",
    "pointer to git": "{worktree}/.git",
    "pointer to the common directory": "{git}/commondir",
    "system": "/usr/br3-was-here",
    "home": "{home}/.profile",
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_not_its_own_cannot_be_written_and_the_try_is_seen(
    ground: Ground, run: Run, repo: Scratch, sealed: Path, place: str
) -> None:
    path = PLACES[place].format(
        repo=repo.path, home=sealed, common=repo.common_dir, worktree=ground.worktree, git=ground.git_dir
    )
    before = Path(path).read_bytes() if Path(path).exists() else None
    done = run(f"echo evil >> '{path}'")
    assert done.returncode != 0
    assert sandbox.tried(done.stderr.encode()) == [path]
    assert (Path(path).read_bytes() if Path(path).exists() else None) == before


@pytest.mark.parametrize(
    "command",
    [
        "git config user.name evil",
        "git config core.hooksPath /tmp",
        "git branch -f main HEAD",
        "git update-ref refs/heads/build/b HEAD^{tree}",
        "git stash push -u",
        "git worktree add ../c",
        "git branch -D build/b",
        "rm -f .git",
        "mv .git .git2",
    ],
)
def test_git_cannot_be_turned_against_others(ground: Ground, run: Run, repo: Scratch, command: str) -> None:
    before = repo.git("for-each-ref"), repo.git("config", "--list", "--local"), repo.git("stash", "list")
    done = run(f"echo x > a; git add a; {command}")
    sandbox.bring_back(ground)
    assert done.returncode != 0 or "update-ref" in command or "branch -D" in command
    assert (repo.git("for-each-ref"), repo.git("config", "--list", "--local"), repo.git("stash", "list")) == before
    assert (ground.worktree / ".git").read_text().startswith("gitdir: ")


def test_a_branch_beside_it_does_not_move_though_the_agent_thinks_so(ground: Ground, run: Run, repo: Scratch) -> None:
    before = repo.head("build/b")
    done = run("git commit -q --allow-empty -m x && git update-ref refs/heads/build/b HEAD && git rev-parse build/b")
    assert done.returncode == 0, done.stderr
    assert sandbox.bring_back(ground)
    assert repo.head("build/b") == before != repo.head("build/a")


def test_secrets_and_what_other_builds_were_asked_cannot_be_read(
    ground: Ground, run: Run, repo: Scratch, sealed: Path
) -> None:
    runs = repo.common_dir / "br3" / "runs"
    done = run(f"cat '{sealed}/.ssh/id_ed25519' '{sealed}/.netrc' '{runs}/r/b/prompt.md'; echo $SSH_AUTH_SOCK; ls /tmp")
    for secret in ("the key", "the password", "another build"):
        assert secret not in done.stdout


def test_a_daemon_ends_with_the_sandbox(ground: Ground, run: Run) -> None:
    daemon = f"trap '' TERM HUP; while :; do echo alive > beat; done # {ground.worktree}"
    done = run(f'(setsid sh -c "{daemon}" > /dev/null 2>&1 &) ; until test -s beat; do :; done')
    assert done.returncode == 0
    # Bubblewrap ends with its command; what else was in there, a moment later.
    until(lambda: not [pid for pid in psutil.pids() if daemon in _words(pid)])


def _words(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def test_temporary_files_are_the_sandbox_s_own(ground: Ground, run: Run) -> None:
    assert run("echo x > /tmp/br3-was-here && echo y > $TMPDIR/other && echo z > $XDG_CACHE_HOME/c").returncode == 0
    assert not Path("/tmp/br3-was-here").exists()
    assert (ground.private / "tmp" / "other").read_text() == "y\n"


def test_the_network_is_there_unless_it_is_switched_off(ground: Ground) -> None:
    command = ["python3", "-c", "import socket; print(*(name for _, name in socket.if_nameindex()))"]
    open_, closed = (
        subprocess.run(sandbox.wrap(command, replace(ground, network=network)), capture_output=True, text=True).stdout
        for network in (True, False)
    )
    assert open_.split() == [name for _, name in socket.if_nameindex()]
    assert closed.split() == ["lo"]


def test_what_is_opened_in_addition_can_be_written(ground: Ground, tmp_path: Path) -> None:
    config, login = tmp_path / "config", ground.home / ".claude" / ".credentials.json"
    login.parent.mkdir()
    login.write_text("old")
    (login.parent / "history.jsonl").touch()
    config.mkdir()
    (config / ".credentials.json").symlink_to(login)
    opened = replace(ground, writable=(config, *sandbox.logins(config, [".credentials.json"])))
    command = f"echo new > '{config}/.credentials.json'; ls -A '{login.parent}'"
    done = subprocess.run(sandbox.wrap(["sh", "-c", command], opened), capture_output=True, text=True)
    assert login.read_text() == "new\n", done.stderr
    assert done.stdout == ".credentials.json\n"


def test_a_branch_that_somebody_else_moved_is_not_moved(ground: Ground, run: Run, repo: Scratch) -> None:
    run("git commit -q --allow-empty -m mine")
    repo.git("update-ref", "refs/heads/build/a", repo.commit("somebody else's"))
    with pytest.raises(Refused, match="was moved"):
        sandbox.bring_back(ground)


@pytest.mark.parametrize("left", ["echo nonsense > {}", "rm {}", "ln -sf /dev/zero {}", "mkfifo {}.new; mv {}.new {}"])
def test_a_ref_that_is_none_is_refused(ground: Ground, run: Run, repo: Scratch, left: str) -> None:
    before = repo.head("build/a")
    run(left.replace("{}", str(repo.common_dir / "refs/heads/build/a")))
    with pytest.raises(Refused, match="no commit"):
        sandbox.bring_back(ground)
    assert repo.head("build/a") == before


def test_what_a_cut_off_attempt_committed_is_there_for_the_next(ground: Ground, run: Run, repo: Scratch) -> None:
    before = repo.head("build/a")
    run("git commit -q --allow-empty -m mine")
    sandbox.prepare(ground)
    assert repo.head("build/a") != before
    assert run("git log -1 --format=%s").stdout == "mine\n"


def test_a_branch_without_a_directory_of_its_own(repo: Scratch, tmp_path: Path, sealed: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "single", str(repo.worktree("single")))
    repo.git("pack-refs", "--all")
    ground = Ground(
        repo.worktree("single"), repo.common_dir / "worktrees/single", repo.common_dir, "single", tmp_path / "p", sealed
    )
    sandbox.prepare(ground)
    before = repo.head("main")
    command = "git commit -q --allow-empty -m x && git update-ref refs/heads/main HEAD"
    done = subprocess.run(sandbox.wrap(["sh", "-c", command], ground), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sandbox.bring_back(ground) == repo.head("single") != before
    assert repo.head("main") == before


def test_a_machine_without_bubblewrap_is_refused_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Refused) as error:
        sandbox.check()
    assert "bubblewrap" in (error.value.hint or "")


def test_programs_on_path_are_seen_also_below_the_temporary_directory(ground: Ground, tmp_path: Path) -> None:
    tool = tmp_path / "package" / "bin" / "tool"
    tool.parent.mkdir(parents=True)
    (tmp_path / "package" / "data").write_text("beside it")
    tool.write_text(f"#!/bin/sh\ncat '{tmp_path}/package/data'\n")
    tool.chmod(0o755)
    path = os.pathsep.join([str(tool.parent), os.environ["PATH"]])
    opened = replace(ground, readable=sandbox.below_tmp_on_path(path))
    done = subprocess.run(sandbox.wrap([str(tool)], opened), capture_output=True, text=True)
    assert done.stdout == "beside it", done.stderr
    assert subprocess.run(sandbox.wrap([str(tool)], ground), capture_output=True).returncode != 0
