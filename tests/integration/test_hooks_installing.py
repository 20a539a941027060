"""Installing beside what is there, taking out again byte for byte, and being interrupted at any moment of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from br3.hooks import installing, shims
from br3.repo.worktrees import discover
from tests.conftest import Scratch, shell_plan, toml, writing
from tests.integration.hooking import PLAN, SECRET, Ground, Templates, began, by_config, kinds

SH = b'#!/bin/sh\necho kept "$0" "$@" >&2\n'


@pytest.fixture
def bare_ground(templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """A repository without br3's hooks."""
    templates.copy("plain", lambda place: began(place / "project") and None, tmp_path)
    return Ground(tmp_path / "project")


def hooks_of(ground: Ground) -> Path:
    path = ground.path / ".git/hooks"
    path.mkdir(exist_ok=True)
    return path


def put(path: Path, content: bytes = SH, mode: int = 0o755) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def everything(directory: Path) -> dict[str, tuple[str, int, bytes]]:
    """Name → kind, mode, bytes (or where a link leads)."""
    found = {}
    for path in sorted(directory.iterdir()):
        mode = path.lstat().st_mode
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[path.name] = (stat.filemode(mode)[0], stat.S_IMODE(mode), content)
    return found


def install(ground: Ground, *words: str, code: int = 0) -> str:
    """``br3 hooks install`` as shims, where git could have them by configuration too."""
    return ground.br3("hooks", "install", "--form", "shims", *words, code=code).all


def _symlink(directory: Path) -> None:
    put(directory.parent / "elsewhere.sh")
    (directory / "pre-commit").symlink_to("../elsewhere.sh")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "script": lambda directory: put(directory / "pre-commit"),
    "not executable": lambda directory: put(directory / "pre-commit", mode=0o644),
    "another mode": lambda directory: put(directory / "pre-commit", mode=0o750),
    "read-only": lambda directory: put(directory / "pre-commit", mode=0o555),
    "CRLF": lambda directory: put(directory / "pre-commit", b"#!/bin/sh\r\nexit 0\r\n"),
    "without a first line": lambda directory: put(directory / "pre-commit", b"exit 0"),
    "binary": lambda directory: put(directory / "pre-commit", bytes(range(256)) * 20),
    "empty": lambda directory: put(directory / "pre-commit", b""),
    "link": _symlink,
    "link to nothing": lambda directory: (directory / "pre-commit").symlink_to("nowhere"),
    "every hook": lambda directory: [put(directory / hook, SH + hook.encode()) for hook in installing.places.HOOKS],
    "others too": lambda directory: [put(directory / name) for name in ("pre-receive", "pre-commit.sample", "lib.sh")],
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_was_there_comes_back_byte_for_byte(bare_ground: Ground, make: Callable[[Path], object]) -> None:
    directory = hooks_of(bare_ground)
    make(directory)
    before = everything(directory)
    install(bare_ground)
    assert everything(directory) != before
    install(bare_ground)
    bare_ground.br3("hooks", "uninstall")
    assert everything(directory) == before


def test_installing_again_changes_nothing(bare_ground: Ground) -> None:
    directory = hooks_of(bare_ground)
    put(directory / "pre-commit")
    install(bare_ground)
    home = bare_ground.path / ".git/br3/hooks"
    before = everything(directory), everything(home), bare_ground.git("config", "--local", "--list")
    install(bare_ground)
    assert (everything(directory), everything(home), bare_ground.git("config", "--local", "--list")) == before


def test_configuration_is_taken_out_without_a_trace(ground: Ground) -> None:
    if not by_config():
        pytest.skip("this git has no hooks by configuration")
    config = ground.path / ".git/config"
    ground.br3("hooks", "uninstall")
    before = config.read_bytes()
    ground.git("config", "hook.mine.event", "pre-commit")
    ground.git("config", "hook.mine.command", "true")
    mine = config.read_bytes()
    ground.br3("hooks", "install")
    ground.br3("hooks", "install")
    assert ground.git("config", "--get-all", "hook.br3-pre-commit.event") == "pre-commit"
    ground.br3("hooks", "uninstall")
    assert config.read_bytes() == mine != before


def test_one_form_takes_the_place_of_the_other(bare_ground: Ground) -> None:
    if not by_config():
        pytest.skip("this git has no hooks by configuration")
    directory = hooks_of(bare_ground)
    put(directory / "pre-commit")
    before = everything(directory)
    install(bare_ground)
    bare_ground.br3("hooks", "install", "--form", "config")
    assert everything(directory) == before
    bare_ground.git("switch", "--quiet", "--create", "other")
    bare_ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert kinds(bare_ground.events("hook.commit")) == ["hook.commit"]
    install(bare_ground)
    assert "hook.br3" not in bare_ground.git("config", "--local", "--list")


def test_a_git_that_is_too_old_says_so(ground: Ground) -> None:
    if by_config():
        pytest.skip("this git has hooks by configuration")
    assert "2.54" in ground.br3("hooks", "install", "--form", "config", code=2).err


@pytest.mark.parametrize("form", ["shims", "by itself"])
def test_the_kept_hook_is_called_first_as_git_would(bare_ground: Ground, tmp_path: Path, form: str) -> None:
    seen = tmp_path / "seen"
    directory = hooks_of(bare_ground)
    put(directory / "commit-msg", f'#!/bin/sh\nprintf "%s|" "$0" "$#" "$1" "$PWD" > "{seen}"\n'.encode())
    bare_ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    before = seen.read_bytes()
    seen.unlink()
    bare_ground.br3("hooks", "install", *(["--form", "shims"] if form == "shims" else []))
    bare_ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert seen.read_bytes() == before


@pytest.mark.parametrize("code", [1, 3, 127])
def test_the_verdict_of_the_kept_hook_stands(bare_ground: Ground, code: int) -> None:
    put(hooks_of(bare_ground) / "pre-commit", f"#!/bin/sh\necho no >&2\nexit {code}\n".encode())
    install(bare_ground)
    tip = bare_ground.tip
    said = bare_ground.call("commit", "--allow-empty", "--message", "change")
    assert said.code != 0 and said.err == "no\n" and bare_ground.tip == tip
    assert bare_ground.call("hook", "run", "pre-commit").code == code


def test_the_kept_hook_reads_what_git_gives_and_so_do_we(bare_ground: Ground, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    put(hooks_of(bare_ground) / "pre-push", f'#!/bin/sh\ncat > "{seen}"\n'.encode())
    install(bare_ground)
    Ground(tmp_path).git("init", "--quiet", "--bare", "there.git")
    bare_ground.git("push", "--quiet", os.fspath(tmp_path / "there.git"), "HEAD:refs/heads/x", "HEAD:refs/heads/y")
    assert len(seen.read_text().splitlines()) == 2
    (event,) = bare_ground.events("hook.pushed")
    assert len(event.data["refs"]) == 2


def test_a_kept_hook_runs_while_br3_is_off(bare_ground: Ground) -> None:
    put(hooks_of(bare_ground) / "pre-commit", b"#!/bin/sh\nexit 1\n")
    install(bare_ground)
    assert bare_ground.call("commit", "--allow-empty", "-m", "change", env={"BR3_HOOKS": "0"}).code == 1


# --- where ----------------------------------------------------------------------------------------------------------


def test_a_directory_that_git_tracks_is_left_alone_until_told(bare_ground: Ground) -> None:
    put(bare_ground.write(".husky/pre-commit", ""), SH)
    bare_ground.record("x.txt")
    bare_ground.git("add", "--all")
    bare_ground.git("commit", "--quiet", "--message", "husky")
    bare_ground.git("config", "core.hooksPath", ".husky")
    before = everything(bare_ground.path / ".husky")
    said = install(bare_ground, code=3)
    assert "git tracks" in said and "--tracked" in said
    assert everything(bare_ground.path / ".husky") == before
    install(bare_ground, "--tracked")
    assert everything(bare_ground.path / ".husky") != before
    bare_ground.br3("hooks", "uninstall")
    assert everything(bare_ground.path / ".husky") == before


def test_a_directory_outside_is_left_alone_until_told(bare_ground: Ground, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bare_ground.git("config", "--global", "core.hooksPath", os.fspath(outside))
    said = install(bare_ground, code=3)
    assert "outside" in said and list(outside.iterdir()) == []
    install(bare_ground, "--outside")
    other = began(tmp_path / "other")
    assert other.call("commit", "--allow-empty", "--message", "change").err == ""
    assert not (other.path / ".git/br3").exists()
    bare_ground.br3("hooks", "uninstall")
    assert list(outside.iterdir()) == []


def test_what_to_do_about_a_directory_outside_gives_every_worktree_its_hooks(
    bare_ground: Ground, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    bare_ground.git("config", "--global", "core.hooksPath", os.fspath(tmp_path / "outside"))
    said = bare_ground.br3("hooks", "install", "--form", "shims", code=3).err
    command = shlex.split(said[said.index("git config") :])
    bare_ground.git(*command[1:])
    install(bare_ground, "--form", "shims")
    linked = bare_ground.linked(tmp_path / "side", "-b", "side")
    linked.git("commit", "--allow-empty", "--message", "seen")
    assert [commit for commit, _, _ in linked.commits()] == [linked.tip]


def test_an_empty_hooks_path_is_the_root_of_the_filesystem(bare_ground: Ground) -> None:
    bare_ground.git("config", "core.hooksPath", "")
    assert "outside of the repository" in install(bare_ground, code=3)
    assert not Path("/pre-commit").exists()


def test_a_missing_hooks_directory_is_made(bare_ground: Ground) -> None:
    assert not (bare_ground.path / ".git/hooks").exists()
    install(bare_ground)
    bare_ground.write("new.txt", f"{SECRET}\n")
    bare_ground.git("add", "--all")
    assert bare_ground.call("commit", "--message", "change").code == 1


def test_uninstalling_what_is_not_installed_is_refused(bare_ground: Ground) -> None:
    assert "not installed" in bare_ground.br3("hooks", "uninstall", code=3).err


def test_what_was_recorded_is_kept(ground: Ground) -> None:
    ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    ground.br3("hooks", "uninstall")
    assert kinds(ground.events()) == ["hook.commit"]
    ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert kinds(ground.events()) == ["hook.commit"]


# --- moved and copied -----------------------------------------------------------------------------------------------


def test_a_moved_repository_keeps_its_hooks(bare_ground: Ground, tmp_path: Path) -> None:
    put(hooks_of(bare_ground) / "pre-commit")
    before = everything(hooks_of(bare_ground))
    install(bare_ground)
    bare_ground.path.rename(tmp_path / "moved")
    moved = Ground(tmp_path / "moved")
    moved.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert kinds(moved.events()) == ["hook.commit"]
    moved.br3("hooks", "status")
    moved.br3("hooks", "uninstall")
    assert everything(hooks_of(moved)) == before


def test_a_copied_repository_has_hooks_of_its_own(bare_ground: Ground, tmp_path: Path) -> None:
    put(hooks_of(bare_ground) / "pre-commit")
    before = everything(hooks_of(bare_ground))
    install(bare_ground)
    having = everything(hooks_of(bare_ground))
    shutil.copytree(bare_ground.path, tmp_path / "copy", symlinks=True)
    copy = Ground(tmp_path / "copy")
    copy.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert (kinds(copy.events()), kinds(bare_ground.events())) == (["hook.commit"], [])
    copy.br3("hooks", "status")
    copy.br3("hooks", "uninstall")
    assert everything(hooks_of(copy)) == before
    assert everything(hooks_of(bare_ground)) == having


# --- other managers -------------------------------------------------------------------------------------------------


def test_a_hook_that_took_our_place_is_told_and_chained_when_asked(bare_ground: Ground) -> None:
    install(bare_ground)
    directory = hooks_of(bare_ground)
    put(directory / "pre-commit", SH + b"# later\n")
    having = everything(directory)
    status = bare_ground.br3("hooks", "status", "--json", code=1).json
    assert {hook["hook"]: hook["state"] for hook in status["hooks"]}["pre-commit"] == "replaced"
    assert everything(directory) == having
    install(bare_ground)
    status = bare_ground.br3("hooks", "status", "--json").json
    assert {hook["hook"]: hook["state"] for hook in status["hooks"]}["pre-commit"] == "chained"
    bare_ground.br3("hooks", "uninstall")
    assert everything(directory) == {"pre-commit": ("-", 0o755, SH + b"# later\n")}


@pytest.mark.parametrize("loss", ["missing", "not executable"])
def test_a_hook_that_is_lost_is_told(bare_ground: Ground, loss: str) -> None:
    install(bare_ground)
    path = hooks_of(bare_ground) / "pre-push"
    path.unlink() if loss == "missing" else path.chmod(0o644)
    assert bare_ground.br3("hooks", "status", code=1).out
    install(bare_ground)
    bare_ground.br3("hooks", "status")


def test_backups_are_never_overwritten(bare_ground: Ground) -> None:
    directory = hooks_of(bare_ground)
    for n in range(3):
        put(directory / "pre-commit", SH + b"# %d\n" % n)
        install(bare_ground)
    backups = bare_ground.path / ".git/br3/hooks/backups"
    assert {path.read_bytes() for path in backups.iterdir()} == {SH + b"# %d\n" % n for n in range(3)}


# --- interrupted ----------------------------------------------------------------------------------------------------

_TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "subprocess.Popen")


def killed_at(point: int, act: Callable[[], object]) -> bool:
    """Do it in a process that kills itself before the n-th time that it changes a file or starts a process; says
    whether it came to that."""
    child = os.fork()
    if child == 0:
        count = 0

        def touched(event: str, given: tuple[object, ...]) -> None:
            nonlocal count
            reads = event == "open" and isinstance(given[2], int) and not given[2] & (os.O_WRONLY | os.O_RDWR)
            if event in _TOUCHES and not reads:
                count += 1
                if count == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(touched)
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def _foreign(place: Path) -> dict[str, tuple[str, int, bytes]]:
    ground = began(place / "project")
    put(hooks_of(ground) / "pre-commit")
    put(hooks_of(ground) / "post-commit", SH + b"# post\n", 0o644)
    return everything(hooks_of(ground))


def _has_it_still(ground: Ground) -> bool:
    places = [hooks_of(ground) / "pre-commit", hooks_of(ground) / "pre-commit.br3-kept"]
    return any(path.is_file() and path.read_bytes() == SH for path in places)


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_killed_at_any_point_the_same_command_again_heals(
    templates: Templates, tmp_path: Path, chosen_git: None, command: str
) -> None:
    """After an installation, every second time it is taken out at once."""
    point, whole = 0, None
    while True:
        point += 1
        root = tmp_path / str(point)
        before = templates.copy("foreign", _foreign, root)
        ground = Ground(root / "project")
        repository = discover(ground.path)

        def put_in() -> None:
            installing.install(repository, None, form="shims")  # noqa: B023

        def take_out() -> None:
            installing.uninstall(repository)  # noqa: B023

        if command == "uninstall":
            put_in()
        if not killed_at(point, put_in if command == "install" else take_out):
            break
        assert _has_it_still(ground), f"lost at {point}"
        if command == "install" and (point % 2 or installing.read(repository.common_dir) is None):
            put_in()
            having = everything(hooks_of(ground))
            whole = whole or having
            assert having == whole, f"not healed at {point}"
        if installing.read(repository.common_dir) is not None:
            take_out()
        assert everything(hooks_of(ground)) == before, f"not restored at {point}"
        assert [p.name for p in (ground.path / ".git/br3/hooks").iterdir() if p.name != "backups"] == []
        shutil.rmtree(root)
    assert point > 30


# --- reference-transaction ------------------------------------------------------------------------------------------


@pytest.fixture
def strict(spot: Ground) -> Ground:
    """Asked for reference-transaction too."""
    spot.write("br3.toml", PLAN.replace("[hooks]\n", "[hooks]\nreference_transaction = true\n"))
    spot.br3("hooks", "install")
    spot.git("checkout", "--quiet", "--", "br3.toml")
    return spot


@pytest.mark.parametrize(
    "words",
    [
        ["merge", "--ff-only", "{ahead}"],
        ["reset", "--hard", "HEAD~1"],
        ["reset", "--soft", "{ahead}"],
        ["update-ref", "refs/heads/release/1", "{ahead}"],
    ],
)
def test_nothing_moves_a_protected_branch(strict: Ground, words: list[str]) -> None:
    ahead = strict.record()
    strict.plain("switch", "--quiet", "--detach", "HEAD~1")
    strict.plain("branch", "--force", "release/1", "HEAD")
    strict.plain("switch", "--quiet", "release/1")
    tip = strict.tip
    said = strict.call(*(word.replace("{ahead}", ahead) for word in words))
    assert said.code != 0 and "release/1 is protected" in said.err
    assert strict.git("rev-parse", "release/1") == tip


@pytest.mark.parametrize("words", [["--force", "release/1", "HEAD"], ["-D", "release/1"], ["-M", "release/1", "x"]])
def test_a_protected_branch_is_not_forced_deleted_or_renamed(strict: Ground, words: list[str]) -> None:
    strict.record()
    tip = strict.git("rev-parse", "release/1")
    assert strict.call("branch", *words).code != 0
    assert strict.git("rev-parse", "--verify", "release/1") == tip


@pytest.mark.parametrize("packed", [False, True])
def test_what_moves_no_branch_works(strict: Ground, tmp_path: Path, packed: bool) -> None:
    strict.record()
    if packed:
        strict.plain("pack-refs", "--all", "--prune")
    Ground(tmp_path).git("clone", "--quiet", "--bare", os.fspath(strict.path), "there.git")
    strict.git("remote", "add", "there", os.fspath(tmp_path / "there.git"))
    for words in (
        ["gc", "--quiet"],
        ["pack-refs", "--all", "--prune"],
        ["fetch", "--quiet", "there"],
        ["worktree", "add", "--quiet", os.fspath(tmp_path / "new"), "release/1"],
        ["branch", "--force", "another", "HEAD"],
        ["tag", "v1"],
        ["commit", "--quiet", "--allow-empty", "--message", "change"],
        ["branch", "-D", "another"],
        ["stash", "list"],
        ["rebase", "--quiet", "HEAD~1"],
        ["pack-refs", "--all", "--prune"],
        ["gc", "--quiet", "--prune=now"],
    ):
        said = strict.call(*words)
        assert said.code == 0 and "protected" not in said.err, f"{words}: {said.err}"


def test_without_being_asked_for_it_is_not_there(ground: Ground) -> None:
    assert "reference-transaction" not in installing.read(ground.common_dir).hooks  # type: ignore[union-attr]
    ground.plain("switch", "--quiet", "release/1")
    ground.git("merge", "--quiet", "--ff-only", "work")


def test_asked_for_no_longer_it_is_taken_out(strict: Ground) -> None:
    strict.br3("hooks", "install")
    strict.git("branch", "--force", "release/1", "HEAD")


def test_the_manifest_says_what_was_there(bare_ground: Ground) -> None:
    put(hooks_of(bare_ground) / "pre-commit")
    install(bare_ground)
    data = json.loads((bare_ground.path / ".git/br3/hooks/manifest.json").read_text())
    assert data["form"] == "shims" and set(data["hooks"]) == set(installing.places.HOOKS)
    assert shims.is_ours((hooks_of(bare_ground) / "pre-commit").read_bytes())


def test_the_plan_s_commands_are_quoted_as_they_are(ground: Ground) -> None:
    """A value of the plan cannot run as sh."""
    text = PLAN.replace('"release/*"', toml("release/$(touch pwned)") + ", " + toml("`touch pwned`"))
    ground.write("br3.toml", text)
    ground.br3("hooks", "install", code=None)
    ground.git("commit", "--quiet", "--allow-empty", "--message", "change")
    assert not (ground.path / "pwned").exists()


def test_what_is_left_when_br3_s_directory_was_deleted_is_taken_out(bare_ground: Ground) -> None:
    put(hooks_of(bare_ground) / "pre-commit")
    before = everything(hooks_of(bare_ground))
    install(bare_ground)
    shutil.rmtree(bare_ground.path / ".git/br3")
    bare_ground.br3("hooks", "uninstall")
    assert everything(hooks_of(bare_ground)) == before
    bare_ground.br3("hooks", "uninstall", code=3)


def test_shims_that_other_repositories_share_stay_when_br3_was_never_installed_here(
    bare_ground: Ground, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    bare_ground.git("config", "core.hooksPath", str(shared))
    put(shared / "pre-commit", shims.shim("pre-commit", shared=True))
    before = everything(shared)
    bare_ground.br3("hooks", "uninstall", code=3)
    assert everything(shared) == before


def test_installed_from_a_build_s_worktree_they_guard_by_the_plan_of_the_main_one(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + '[hooks]\nprotect = ["main"]\n')
    repo.br3("up", "--trust")
    assert "protected branches: main" in repo.br3("hooks", "install", cwd=repo.worktree("a")).out
    done = subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-m", "x"], cwd=repo.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "main" in done.stderr
