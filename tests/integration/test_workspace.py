"""Worktrees and environments as ``br3 up`` makes them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from br3.workspace import environments
from br3.workspace.copying import bring_along, copy_tree, matching
from tests.conftest import PYTHON, Scratch, making, shell_plan, toml, until, writing

TWO = shell_plan({"a": "true", "b": "true"})


def setup_plan(*commands: str, copy: tuple[str, ...] = (), builds: tuple[str, ...] = ("a", "b")) -> str:
    listed = ", ".join(toml(c) for c in commands)
    copied = ", ".join(toml(c) for c in copy)
    return shell_plan(dict.fromkeys(builds, "true")) + f"[setup]\nrun = [{listed}]\ncopy = [{copied}]\n"


def test_up_makes_a_worktree_and_a_branch_for_each_build(repo: Scratch) -> None:
    repo.plan(TWO)
    repo.br3("up", "--trust")
    for build in ("a", "b"):
        assert repo.git("branch", "--show-current", cwd=repo.worktree(build)) == f"build/{build}"
        assert repo.head(f"build/{build}") == repo.head()
    assert repo.git("status", "--porcelain") == ""


def test_up_of_some_builds_makes_only_those(repo: Scratch) -> None:
    repo.plan(TWO)
    repo.br3("up", "--trust", "b")
    assert not repo.worktree("a").exists()
    assert repo.worktree("b").exists()


def test_up_again_touches_nothing(repo: Scratch) -> None:
    repo.plan(setup_plan("echo again >> setup-ran"))
    repo.br3("up", "--trust")
    repo.write("mine.txt", "precious", root=repo.worktree("a"))
    data = repo.br3("up", "--json").json
    assert {b["how"] for b in data["builds"]} == {"unchanged"}
    assert (repo.worktree("a") / "setup-ran").read_text() == "again\n"
    assert (repo.worktree("a") / "mine.txt").read_text() == "precious"


def test_up_repairs_what_is_missing(repo: Scratch) -> None:
    repo.plan(setup_plan(f"echo ran >> ../ran-$BR3_BUILD; {making('.venv/bin')}"))
    repo.br3("up", "--trust")
    subprocess.run(["git", "worktree", "remove", "--force", str(repo.worktree("a"))], cwd=repo.path, check=True)
    os.rename(repo.worktree("b") / ".venv", repo.path.parent / "taken")
    how = {b["id"]: b["how"] for b in repo.br3("up", "--json").json["builds"]}
    assert how == {"a": "attached", "b": "repaired"}
    assert (repo.worktree("b") / ".venv").is_dir()


def test_a_worktree_directory_that_was_deleted_by_hand_is_made_again(repo: Scratch) -> None:
    repo.plan(TWO)
    repo.br3("up", "--trust")
    os.rename(repo.worktree("a"), repo.path.parent / "gone")
    assert repo.br3("up", "--json").json["builds"][0]["how"] == "attached"
    assert (repo.worktree("a") / "README.md").exists()


def test_ignored_files_are_copied_and_never_linked(repo: Scratch) -> None:
    repo.write(".gitignore", ".env\ncache/\n")
    repo.plan(setup_plan("true", copy=(".env", "cache", "absent")))
    repo.write(".env", "A=1\n")
    repo.write("cache/deep/file", "data")
    repo.br3("up", "--trust")
    copied = repo.worktree("a") / ".env"
    assert copied.read_text() == "A=1\n"
    assert copied.stat().st_ino != (repo.path / ".env").stat().st_ino
    assert copied.stat().st_nlink == 1
    assert (repo.worktree("b") / "cache/deep/file").read_text() == "data"
    copied.write_text("changed by an agent")
    repo.br3("up")
    assert copied.read_text() == "changed by an agent"


def test_a_failed_set_up_is_left_for_inspection_and_says_everything(repo: Scratch) -> None:
    repo.plan(setup_plan("echo one", "for n in 1 2 3; do echo line $n; done; exit 7"))
    said = repo.br3("up", "--trust", "a", code=1)
    assert "`for n in 1 2 3; do echo line $n; done; exit 7` ended with exit code 7" in said.err
    assert "line 3" in said.err
    log = next(line for line in said.err.splitlines() if line.startswith("log: ")).removeprefix("log: ")
    assert "$ echo one\none\n" in Path(log).read_text()
    assert (repo.worktree("a") / "README.md").exists()
    assert [e.data["exit_code"] for e in repo.events("worktree.failed")] == [7]


def test_a_failed_set_up_of_one_build_does_not_stop_the_other(repo: Scratch) -> None:
    repo.plan(setup_plan("test $BR3_BUILD = b"))
    data = repo.br3("up", "--trust", "--json", code=1).json
    assert [b["id"] for b in data["builds"]] == ["b"]
    assert [e["id"] for e in data["errors"]] == ["a"]


def test_set_up_sees_the_build_s_variables_and_no_secrets(repo: Scratch, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key-of-mine")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere/else")
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
    repo.plan(setup_plan(f'{PYTHON} -c \'import os, json; json.dump(dict(os.environ), open("../env.json", "w"))\''))
    repo.br3("up", "a", env={"BR3_TRUST": "1", "GIT_DIR": ""})
    seen = json.loads((repo.worktree("a").parent / "env.json").read_text())
    assert (seen["BR3_BUILD"], seen["BR3_BASE"]) == ("a", "main")
    assert seen["BR3_WORKTREE"] == str(repo.worktree("a"))
    assert int(seen["BR3_PORT"]) > 1024
    assert not seen.keys() & {"ANTHROPIC_API_KEY", "BR3_TRUST", "GIT_DIR", "VIRTUAL_ENV"}


@pytest.mark.parametrize("obstacle", ["path", "branch with work", "checked out elsewhere", "registration"])
def test_what_is_in_the_way_is_refused_with_the_next_command(repo: Scratch, tmp_path: Path, obstacle: str) -> None:
    repo.plan(TWO)
    if obstacle == "path":
        kept = repo.write("a/file", "mine", root=repo.worktree("a").parent)
        expected = ["exists and is not a worktree", "move it away"]
    elif obstacle == "branch with work":
        repo.git("switch", "--quiet", "--create", "build/a")
        kept = repo.write("work.txt", "mine")
        repo.commit("work")
        repo.git("switch", "--quiet", "main")
        expected = ["exists with 1 commit of other work", "git branch -m build/a build/a-old"]
    elif obstacle == "checked out elsewhere":
        kept = tmp_path / "elsewhere"
        repo.git("worktree", "add", "--quiet", str(kept), "-b", "build/a")
        expected = [f"is checked out in {kept}", "switch --detach"]
    else:
        repo.git("worktree", "add", "--quiet", str(repo.worktree("a")), "-b", "build/a")
        kept = tmp_path / "moved"
        os.rename(repo.worktree("a"), kept)
        expected = ["registered as a worktree, but there is nothing there", "git worktree remove"]
    before = repo.git("for-each-ref")
    said = repo.br3("up", "--trust", code=3)
    for text in expected:
        assert text in said.err
    assert repo.worktree("b").exists()
    assert kept.exists() or obstacle == "branch with work"
    assert repo.git("for-each-ref", "refs/heads/build/a") in before


def test_a_branch_made_beforehand_at_base_is_used(repo: Scratch) -> None:
    repo.plan(TWO)
    repo.git("branch", "build/a")
    assert repo.br3("up", "--trust", "--json").json["builds"][0]["how"] == "attached"


def test_a_plan_in_a_build_s_worktree_is_never_read(repo: Scratch) -> None:
    repo.plan(TWO)
    repo.br3("up", "--trust")
    repo.write("br3.toml", TWO.replace('"a"', '"evil"'), root=repo.worktree("a"))
    said = repo.br3("up", "--trust", code=2, cwd=repo.worktree("a"))
    assert "is the worktree of a build; its br3.toml is never used" in said.err


def test_the_worktree_s_name_and_place_come_from_the_plan(repo: Scratch) -> None:
    plan = shell_plan({"a": "true"}, head='worktrees = "{parent}/trees of {repo}/{build}"', extra='worktree = "br3-a"')
    repo.plan(plan)
    repo.br3("up", "--trust")
    assert (repo.path.parent / "trees of project" / "br3-a" / "README.md").exists()


# A build backend in the tree itself, so that a real editable install needs nothing from the network.
BACKEND = """
import os, pathlib, zipfile
NAME, VERSION = "tiny", "1.0"
def _write(directory, files):
    name = f"{NAME}-{VERSION}-py3-none-any.whl"
    info = f"{NAME}-{VERSION}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {NAME}\\nVersion: {VERSION}\\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[f"{info}/entry_points.txt"] = "[console_scripts]\\ntiny = tiny:main\\n"
    files[f"{info}/RECORD"] = "".join(f"{f},,\\n" for f in files)
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    with open(os.environ["COUNT"], "a") as count:
        count.write("built\\n")
    return name
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _write(wheel_directory, {"tiny.pth": str(pathlib.Path.cwd() / "src") + "\\n"})
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _write(wheel_directory, {"tiny/__init__.py": pathlib.Path("src/tiny/__init__.py").read_text()})
"""

TINY = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def python_project(repo: Scratch, tmp_path: Path, monkeypatch) -> Scratch:
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    repo.write("pyproject.toml", TINY)
    repo.write("backend.py", BACKEND)
    repo.write("src/tiny/__init__.py", "def main():\n    print(__file__)\n")
    repo.write(".gitignore", ".venv/\n__pycache__/\n")
    repo.commit("project")
    return repo


EDITABLE = ("python3 -m venv .venv", ".venv/bin/python -m pip install --no-index --quiet -e .")


def test_four_worktrees_pay_for_one_environment(python_project: Scratch, tmp_path: Path) -> None:
    repo = python_project
    repo.plan(setup_plan(*EDITABLE, builds=("a", "b", "c", "d")))
    data = repo.br3("up", "--trust", "--json").json
    assert sorted(b["environment"] for b in data["builds"]) == ["copied", "copied", "copied", "set up"]
    assert (tmp_path / "count").read_text() == "built\n"
    for build in "abcd":
        tree = repo.worktree(build)
        ran = subprocess.run([tree / ".venv/bin/tiny"], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == str(tree / "src/tiny/__init__.py")
        where = subprocess.run(
            [tree / ".venv/bin/python", "-c", "import sys; print(sys.prefix)"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert where.stdout.strip() == str(tree / ".venv")


def test_a_changed_tree_gets_a_fresh_environment_when_project_code_is_run(python_project: Scratch) -> None:
    repo = python_project
    repo.plan(setup_plan(*EDITABLE, builds=("a",)))
    first = environments.digest(EDITABLE, repo.path)
    repo.write("src/tiny/__init__.py", "changed = True\n")
    repo.commit("change")
    assert environments.digest(EDITABLE, repo.path) != first


def test_only_commands_that_are_known_to_make_environments_are_shared() -> None:
    assert environments.recognised(["uv venv", "uv pip install -e '.[dev]' 'x>=2'"])
    assert environments.recognised(["uv venv --allow-existing", "uv sync --frozen"])
    assert environments.recognised(EDITABLE)
    for command in (
        "make deps",
        "uv venv && curl example.com",
        "uv pip install -e . > log",
        "pip install $PACKAGE",
        "uv venv ../shared",
        "npm ci",
    ):
        assert not environments.recognised([command]), command
    assert not environments.recognised([])


def test_set_up_that_leaves_more_than_an_environment_is_not_shared(repo: Scratch) -> None:
    repo.write(".gitignore", ".venv/\n")
    repo.plan(setup_plan("python3 -m venv --without-pip .venv"))
    hook = "import sys; open('generated.txt', 'w').close()"
    bin_dir = repo.path.parent / "bin"
    bin_dir.mkdir()
    fake = bin_dir / "python3"
    fake.write_text(f'#!/bin/sh\n{PYTHON} -c "{hook}"\nexec {PYTHON} "$@"\n')
    fake.chmod(0o755)
    path = f"{bin_dir}{os.pathsep}{os.environ['PATH']}"
    data = repo.br3("up", "--trust", "--json", env={"PATH": path}).json
    assert [b["environment"] for b in data["builds"]] == ["set up", "set up"]
    assert (repo.worktree("b") / "generated.txt").exists()


def test_copying_keeps_modes_times_and_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "dir").mkdir(parents=True)
    (source / "dir" / "run").write_text("#!/bin/sh\n")
    (source / "dir" / "run").chmod(0o755)
    os.utime(source / "dir" / "run", (1, 1))
    (source / "link").symlink_to("dir/run")
    os.mkfifo(source / "pipe")
    copy_tree(source, tmp_path / "target")
    run = tmp_path / "target" / "dir" / "run"
    assert (run.stat().st_mode & 0o777, run.stat().st_mtime) == (0o755, 1)
    assert os.readlink(tmp_path / "target" / "link") == "dir/run"
    assert not (tmp_path / "target" / "pipe").exists()


def test_globs_bring_several_files_along(tmp_path: Path) -> None:
    for name in (".env", ".env.local", "sub/.env"):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "s" / name).write_text(name)
    (tmp_path / "t").mkdir()
    found = matching([".env*", "**/.env"], tmp_path / "s")
    assert bring_along(found, tmp_path / "s", tmp_path / "t") == [".env", ".env.local", "sub/.env"]


def test_an_interrupted_up_goes_on(repo: Scratch, tracked: str) -> None:
    repo.plan(setup_plan(f"test -e ../go || {PYTHON} -c 'import time; time.sleep(600)'; " + writing("done")))
    process = repo.start("up", "--trust")
    until(lambda: (repo.worktree("a") / "README.md").exists() and (repo.worktree("b") / "README.md").exists())
    process.send_signal(2)
    _, err = process.communicate()
    assert process.returncode == 130, err
    (repo.worktree("a").parent / "go").touch()
    repo.br3("up")
    assert (repo.worktree("a") / "done").exists()


def test_up_without_names_leaves_out_what_has_landed(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    repo.br3("finish", "a")
    assert [one["id"] for one in repo.br3("up", "--json").json["builds"]] == ["b"]
    assert not repo.worktree("a").exists()
    repo.br3("finish")
    assert "every build has landed" in repo.br3("up").out
    repo.br3("up", "a")
    assert repo.worktree("a").exists()
