"""br3's hooks beside those of pre-commit, prek, lefthook and husky, with the real programs."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from br3.secrets.examples import fill
from tests.conftest import Scratch
from tests.external.managers import HUSKY, LEFTHOOK, MANAGERS, PRE_COMMIT, PREK, Manager, new_git, seal

TOKEN = fill("ghp_<<a36>>", Random(1))

Files = dict[str, tuple[bytes, int]]
Names = tuple[str, ...]


@pytest.fixture
def log(tmp_path: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the managers' checks say that they ran."""
    seal(monkeypatch, sealed)
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture(params=["shims", "config"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each form of br3's hooks, with a git that has it first on PATH."""
    if request.param == "config":
        git = new_git()
        if git is None:
            pytest.skip("no git that has hooks by configuration: see what tests/external/install says")
        monkeypatch.setenv("PATH", f"{git}{os.pathsep}{os.environ['PATH']}")
    return str(request.param)


def install_br3(repo: Scratch, form: str, cwd: Path | None = None) -> None:
    repo.br3("hooks", "install", "--form", form, cwd=cwd)


def attempt(repo: Scratch, cwd: Path, name: str, text: str) -> subprocess.CompletedProcess[str]:
    """``git commit`` of one new file; what it left is taken back when it is refused."""
    (cwd / name).write_text(text)
    repo.git("add", name, cwd=cwd)
    done = subprocess.run(["git", "commit", "--message", name], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        repo.git("rm", "--force", "--quiet", name, cwd=cwd)
    return done


def guard_runs(repo: Scratch, cwd: Path) -> bool:
    """Whether a staged secret is refused."""
    done = attempt(repo, cwd, "secret.txt", f"token = {TOKEN}\n")
    assert TOKEN not in done.stdout + done.stderr
    return done.returncode != 0


def check_runs(repo: Scratch, cwd: Path) -> bool:
    """Whether what the manager's check refuses is refused."""
    return attempt(repo, cwd, "forbidden.txt", "FORBIDDEN\n").returncode != 0


def assert_both_run(repo: Scratch, cwd: Path, log: Path, *, before: Sequence[str] = ()) -> None:
    """The guard and the manager's check refuse what is theirs; a clean commit is checked, noted and recorded once."""
    assert guard_runs(repo, cwd), "a staged secret was committed"
    assert check_runs(repo, cwd), "the manager's check did not run"
    log.write_text("")
    done = attempt(repo, cwd, "clean.txt", f"clean in {cwd.name}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    commit = repo.git("rev-parse", "HEAD", cwd=cwd)
    assert [event.data["commit"] for event in repo.events("hook.commit")].count(commit) == 1
    assert log.read_text().splitlines() == [*before, "checked", "noted"]


def files(hooks: Path) -> Files:
    """What a hooks' directory holds, but for git's samples: bytes and mode by name."""
    found = (path for path in hooks.iterdir() if path.suffix != ".sample")
    return {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in found}


def linked_worktree(repo: Scratch) -> Path:
    path = repo.path.parent / "linked"
    repo.git("worktree", "add", "--quiet", "-b", "side", str(path))
    return path


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.name)
def test_both_run_where_the_manager_was_first(repo: Scratch, log: Path, form: str, manager: Manager) -> None:
    manager.configure(repo, log)
    manager.install(repo.path)
    install_br3(repo, form)
    repo.br3("hooks", "status")
    assert_both_run(repo, repo.path, log)
    linked = linked_worktree(repo)
    if manager is HUSKY:
        assert_husky_is_mended(repo, linked, log, form)
    assert_both_run(repo, linked, log)


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.name)
def test_both_run_where_the_manager_came_later(repo: Scratch, log: Path, form: str, manager: Manager) -> None:
    manager.configure(repo, log)
    install_br3(repo, form)
    manager.install(repo.path)
    if form == "shims" and manager in (LEFTHOOK, HUSKY):
        assert_reported(repo, repo.path)
        assert not guard_runs(repo, repo.path)
        install_br3(repo, form)
        repo.git("reset", "--quiet", "--hard", "HEAD~")
    repo.br3("hooks", "status")
    assert_both_run(repo, repo.path, log)
    linked = linked_worktree(repo)
    if manager is HUSKY:
        assert_husky_is_mended(repo, linked, log, form)
    assert_both_run(repo, linked, log)


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.name)
@pytest.mark.parametrize("first", ["manager", "br3"])
def test_both_read_what_is_pushed(repo: Scratch, log: Path, form: str, first: str, manager: Manager) -> None:
    manager.configure(repo, log)
    remote = repo.path.parent / "remote.git"
    repo.git("init", "--quiet", "--bare", str(remote))
    repo.git("remote", "add", "origin", str(remote))
    if first == "br3":
        install_br3(repo, form)
    manager.install(repo.path)
    install_br3(repo, form)
    log.write_text("")
    repo.git("push", "--quiet", "origin", "main")
    assert log.read_text().splitlines() == ["push of refs/heads/main"]
    assert [event.data["commits"] for event in repo.events("hook.pushed")] == [[repo.head()]]
    repo.write("secret.txt", f"token = {TOKEN}\n")
    repo.git("add", "secret.txt")
    repo.git("commit", "--quiet", "--no-verify", "--message", "secret")
    repo.git("push", "--quiet", "origin", "main", check=False)
    assert repo.git("rev-parse", "main", cwd=remote) != repo.head()


def assert_reported(repo: Scratch, cwd: Path) -> None:
    """``br3 hooks status`` says that pre-commit does not run, in words and by its exit code."""
    assert "pre-commit" in repo.br3("hooks", "status", code=1, cwd=cwd).all


def assert_husky_is_mended(repo: Scratch, linked: Path, log: Path, form: str) -> None:
    """husky's directory is missing in a new worktree until its user installs there, and br3's shims with it."""
    if form == "shims":
        assert_reported(repo, linked)
        assert str(linked) in repo.br3("hooks", "status", code=1).all
        HUSKY.install(linked)
        assert_reported(repo, linked)
        install_br3(repo, form, cwd=linked)
    else:
        assert guard_runs(repo, linked)
        HUSKY.install(linked)
    repo.br3("hooks", "status", cwd=linked)


# pre-commit and prek, being installed again over br3's hook, write it over what they had set aside: after three turns
# that begin with one of them, the hand-written hook is out until br3 is installed again.
TURNS = [("br3", 3), ("br3", 4), ("br3", 5), ("manager", 2), ("manager", 4), ("manager", 5)]


def installed_by_turns(repo: Scratch, log: Path, manager: Manager, first: str, turns: int) -> None:
    manager.configure(repo, log)
    Hand(log, b"first of all").write(repo.path / ".git" / "hooks")
    for turn in range(turns):
        if (turn % 2 == 0) == (first == "manager"):
            manager.install(repo.path)
        else:
            install_br3(repo, "shims")


@pytest.mark.parametrize("manager", [PRE_COMMIT, PREK], ids=lambda manager: manager.name)
@pytest.mark.parametrize(("first", "turns"), TURNS)
def test_all_run_once_when_installed_by_turns(
    repo: Scratch, log: Path, first: str, turns: int, manager: Manager
) -> None:
    installed_by_turns(repo, log, manager, first, turns)
    assert_both_run(repo, repo.path, log, before=["by hand"])


@pytest.mark.parametrize("manager", [PRE_COMMIT, PREK], ids=lambda manager: manager.name)
def test_a_manager_installed_again_over_br3_is_not_called_by_itself(repo: Scratch, log: Path, manager: Manager) -> None:
    manager.configure(repo, log)
    manager.install(repo.path)
    install_br3(repo, "shims")
    manager.install(repo.path)
    assert_both_run(repo, repo.path, log)


@pytest.mark.parametrize(("first", "turns"), TURNS)
def test_what_was_first_of_all_comes_back_after_turns(repo: Scratch, log: Path, first: str, turns: int) -> None:
    installed_by_turns(repo, log, PREK, first, turns)
    repo.br3("hooks", "uninstall")
    PREK.uninstall(repo.path)
    assert files(repo.path / ".git" / "hooks") == Hand(log, b"first of all").alone


def test_lefthook_that_syncs_itself_in_a_commit_is_reported(repo: Scratch, log: Path) -> None:
    LEFTHOOK.configure(repo, log)
    LEFTHOOK.install(repo.path)
    install_br3(repo, "shims")
    settings = repo.path / "lefthook.yml"
    settings.write_text(f"{settings.read_text()}commit-msg: {{commands: {{say: {{run: 'true'}}}}}}\n")
    os.utime(settings, (settings.stat().st_mtime + 2,) * 2)  # it looks at whole seconds
    repo.commit("another hook of lefthook's")
    assert_reported(repo, repo.path)
    install_br3(repo, "shims")
    repo.br3("hooks", "status")
    assert_both_run(repo, repo.path, log)


def test_husky_that_is_run_again_is_reported(repo: Scratch, log: Path) -> None:
    HUSKY.configure(repo, log)
    HUSKY.install(repo.path)
    install_br3(repo, "shims")
    HUSKY.install(repo.path)
    assert_reported(repo, repo.path)
    install_br3(repo, "shims")
    repo.br3("hooks", "status")
    assert_both_run(repo, repo.path, log)


@pytest.mark.parametrize("manager", [PRE_COMMIT, PREK, LEFTHOOK], ids=lambda manager: manager.name)
def test_a_manager_uninstalled_under_br3_leaves_the_guard(repo: Scratch, log: Path, manager: Manager) -> None:
    manager.configure(repo, log)
    manager.install(repo.path)
    install_br3(repo, "shims")
    manager.uninstall(repo.path)
    assert guard_runs(repo, repo.path)
    assert attempt(repo, repo.path, "clean.txt", "clean\n").returncode == 0


def test_husky_is_as_it_was_in_every_worktree_once_br3_is_out(repo: Scratch, log: Path) -> None:
    HUSKY.configure(repo, log)
    hand = Hand(log, b"before husky")
    hand.write(repo.path / ".git" / "hooks")
    install_br3(repo, "shims")
    linked = linked_worktree(repo)
    before = {}
    for worktree in (repo.path, linked):
        HUSKY.install(worktree)
        before[worktree] = files(worktree / ".husky" / "_")
        install_br3(repo, "shims", cwd=worktree)
    repo.br3("hooks", "uninstall")
    assert {worktree: files(worktree / ".husky" / "_") for worktree in before} == before
    assert files(repo.path / ".git" / "hooks") == hand.alone


# The hand-written hook that was there first


class Hand:
    """A hook that no manager wrote: no newline at its end, a mode of its own, perhaps bytes that are no text."""

    MODE = 0o710

    def __init__(self, log: Path, comment: bytes) -> None:
        self.bytes = b"#!/bin/sh\n# " + comment + b"\nprintf 'by hand\\n' >> " + os.fsencode(shlex.quote(str(log)))

    def write(self, hooks: Path) -> None:
        hooks.mkdir(exist_ok=True)
        (hooks / "pre-commit").write_bytes(self.bytes)
        (hooks / "pre-commit").chmod(self.MODE)

    @property
    def alone(self) -> Files:
        return {"pre-commit": (self.bytes, self.MODE)}

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.bytes).hexdigest()


class Turns:
    """Installs and uninstalls by name in one repository."""

    def __init__(self, repo: Scratch, managers: tuple[Manager, ...]) -> None:
        self.repo = repo
        self.hooks = repo.path / ".git" / "hooks"
        self.managers = {manager.name: manager for manager in managers}

    def install(self, names: Names) -> None:
        for turn, name in enumerate(names):
            if name == "br3":
                install_br3(self.repo, "shims")
            else:
                # lefthook refuses to be installed again where it set something aside before.
                self.managers[name].install(self.repo.path, may_refuse=name in names[:turn])

    def uninstall(self, names: Names) -> Files:
        """Uninstall all, the managers twice, since they do nothing while another holds the place. What is left."""
        for name in names:
            if name == "br3":
                self.repo.br3("hooks", "uninstall")
            else:
                self.managers[name].uninstall(self.repo.path)
        for name in names:
            if name != "br3":
                self.managers[name].uninstall(self.repo.path)
        return files(self.hooks)

    def each_uninstall(self, orders: Iterable[Names]) -> Iterator[tuple[Names, Files]]:
        """Each order of uninstalling, from the same state, with what it leaves."""
        git = self.repo.path / ".git"
        before = self.repo.path / ".git-before"
        git.rename(before)
        for order in orders:
            shutil.copytree(before, git, symlinks=True)
            yield order, self.uninstall(order)
            shutil.rmtree(git)
        before.rename(git)


def without_br3(names: Names) -> Names:
    return tuple(name for name in names if name != "br3")


def scratch(path: Path, managers: tuple[Manager, ...], hand: Hand, log: Path) -> Turns:
    path.mkdir()
    repo = Scratch(path)
    repo.git("init", "--quiet")
    for manager in managers:
        manager.configure(repo, log)
    turns = Turns(repo, managers)
    hand.write(turns.hooks)
    return turns


def installed_and_uninstalled(
    tmp_path: Path, log: Path, partner: Manager, installs: Names, uninstalls: Iterable[Names]
) -> None:
    """Where the managers alone give the hand-written hook back, they do with br3 too; else br3 has its bytes.

    While br3's hook has the place, another's removal does nothing or half of its work. So the order in which those two
    really go is known only where br3's goes first.
    """
    hand = Hand(log, "déjà".encode() if partner is PREK else b"\xff\xfe")  # prek refuses what is not UTF-8
    managers = (partner, LEFTHOOK)
    alone = scratch(tmp_path / "alone", managers, hand, log)
    alone.install(without_br3(installs))
    both = permutations((partner.name, LEFTHOOK.name))
    given_back = {order: left == hand.alone for order, left in alone.each_uninstall(both)}

    beside = scratch(tmp_path / "beside", managers, hand, log)
    beside.install(installs)
    for order, left in beside.each_uninstall(uninstalls):
        of_br3 = [name for name, (text, _) in left.items() if b"br3" in text or "br3" in name]
        assert of_br3 == [], f"after {installs}, then {order}"
        if given_back[without_br3(order)] if order[0] == "br3" else all(given_back.values()):
            assert left == hand.alone, f"after {installs}, then {order}: {sorted(left)}"
        else:
            backup = beside.repo.common_dir / "br3" / "hooks" / "backups" / hand.digest
            assert backup.read_bytes() == hand.bytes, f"after {installs}, then {order}"


@pytest.mark.parametrize("again", ["once", "again", "again the other way round"])
@pytest.mark.parametrize("order", list(permutations(("prek", "lefthook", "br3"))), ids="-".join)
def test_the_hand_written_hook_is_there_again(tmp_path: Path, log: Path, order: Names, again: str) -> None:
    installs = order + {"once": (), "again": order, "again the other way round": order[::-1]}[again]
    installed_and_uninstalled(tmp_path, log, PREK, installs, permutations(order))


@pytest.mark.parametrize("order", list(permutations(("pre-commit", "lefthook", "br3"))), ids="-".join)
def test_the_hand_written_hook_is_there_again_with_pre_commit(tmp_path: Path, log: Path, order: Names) -> None:
    installed_and_uninstalled(tmp_path, log, PRE_COMMIT, order, (order, order[::-1]))
