"""``br3 init`` gives a repository a plan that works, and never writes over anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from br3.cli import COMMANDS, cli
from br3.cli.init import init
from br3.errors import UsageError
from br3.plan.checking import check


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (root / ".git/HEAD").write_text("ref: refs/heads/trunk\n")
    monkeypatch.chdir(root)
    return root


def run_init() -> Result:
    result = CliRunner().invoke(cli, ["init"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_written_plan_passes_the_check_as_it_stands(repository: Path) -> None:
    run_init()
    checked = check(repository / "br3.toml")
    assert (checked.problems, checked.warnings) == ((), ())
    assert checked.plan
    assert (checked.plan.name, checked.plan.base) == ("project", "trunk")


def test_the_written_plan_has_what_was_detected(repository: Path) -> None:
    (repository / "Cargo.toml").touch()
    (repository / "go.mod").touch()
    (repository / ".env").touch()
    assert "rust, go" in run_init().output
    plan = check(repository / "br3.toml").plan
    assert plan
    assert plan.setup.run == ("cargo fetch", "go mod download")
    assert plan.setup.copy == (".env",)
    assert plan.verify.run == ("cargo test", "go test ./...")


def test_a_verification_that_nobody_chose_fails_and_says_what_to_do(repository: Path) -> None:
    run_init()
    plan = check(repository / "br3.toml").plan
    assert plan
    (command,) = plan.verify.run
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "br3.toml" in ran.stderr


def test_the_commented_keys_are_keys_of_a_plan(repository: Path) -> None:
    run_init()
    path = repository / "br3.toml"
    (repository / "prompts").mkdir()
    (repository / "prompts/api.md").write_text("x")
    code = [line.removeprefix("# ") for line in path.read_text().splitlines() if _is_code(line.removeprefix("# "))]
    text = path.read_text().split('"""')[1]
    path.write_text("\n".join(code).replace('prompt = """', f'prompt = """{text}"""'))
    assert [str(problem) for problem in check(path).problems] == []


def _is_code(line: str) -> bool:
    return line.startswith("[") or " = " in line


def test_running_it_again_changes_nothing(repository: Path) -> None:
    run_init()
    before = {path: path.read_bytes() for path in repository.iterdir() if path.is_file()}
    output = run_init().output
    assert {path: path.read_bytes() for path in repository.iterdir() if path.is_file()} == before
    assert output.count("left as it is") == 3


def test_files_that_are_there_are_left_as_they_are(repository: Path) -> None:
    for name in ("br3.toml", ".env.example"):
        (repository / name).write_text("mine")
    run_init()
    assert [(repository / name).read_text() for name in ("br3.toml", ".env.example")] == ["mine", "mine"]


def test_it_says_what_it_wrote(repository: Path) -> None:
    lines = run_init().output.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["br3.toml", "written"],
        [".env.example", "written"],
        [".gitignore", "written"],
    ]


def test_it_works_at_the_root_when_called_below(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(repository / "deep/er")
    run_init()
    assert (repository / "br3.toml").exists()


def test_in_a_linked_worktree_the_base_is_its_own_branch(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".git/worktrees/side").mkdir(parents=True)
    (repository / ".git/worktrees/side/HEAD").write_text("ref: refs/heads/feature/side\n")
    side = tmp_path / "side"
    side.mkdir()
    (side / ".git").write_text("gitdir: ../project/.git/worktrees/side\n")
    monkeypatch.chdir(side)
    run_init()
    plan = check(side / "br3.toml").plan
    assert plan
    assert plan.base == "feature/side"


@pytest.mark.parametrize("head", ["0" * 40, "ref: refs/heads/.invalid", None])
def test_without_a_current_branch_the_base_is_main(repository: Path, head: str | None) -> None:
    (repository / ".git/HEAD").unlink()
    if head:
        (repository / ".git/HEAD").write_text(head + "\n")
    run_init()
    plan = check(repository / "br3.toml").plan
    assert plan
    assert plan.base == "main"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b".env\n"),
        (b"", b".env\n"),
        (b"*.pyc\n", b"*.pyc\n.env\n"),
        (b"*.pyc", b"*.pyc\n.env"),
        (b"*.pyc\r\nx\r\n", b"*.pyc\r\nx\r\n.env\r\n"),
        (b"*.pyc\r\nx", b"*.pyc\r\nx\r\n.env"),
        (b".env.local\n", b".env.local\n.env\n"),
        (b"# .env\n", b"# .env\n.env\n"),
        (b".env\n!.env\n", b".env\n!.env\n.env\n"),
        (b"\xff\n", b"\xff\n.env\n"),
    ],
)
def test_env_is_added_to_gitignore_in_its_own_style(repository: Path, before: bytes | None, after: bytes) -> None:
    path = repository / ".gitignore"
    if before is not None:
        path.write_bytes(before)
    run_init()
    assert path.read_bytes() == after


@pytest.mark.parametrize("line", [".env", "/.env", ".env*", "*.env", "**/.env", ".env  ", "!.env\n.env"])
def test_env_is_not_added_where_it_is_ignored_already(repository: Path, line: str) -> None:
    (repository / ".gitignore").write_text(f"{line}\nx\n")
    run_init()
    assert (repository / ".gitignore").read_text() == f"{line}\nx\n"


def test_the_example_names_the_key_and_holds_none(repository: Path) -> None:
    run_init()
    assert "ANTHROPIC_API_KEY=" in (repository / ".env.example").read_text().splitlines()


def test_a_directory_with_an_awkward_name_gives_a_valid_plan(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward = repository.rename(tmp_path / 'a "b" \\ $c')
    monkeypatch.chdir(awkward)
    run_init()
    plan = check(awkward / "br3.toml").plan
    assert plan
    assert plan.name == 'a "b" \\ $c'


def test_outside_a_repository_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="not in a git repository") as caught:
        run_init()
    assert caught.value.hint == "git init"
    assert list(tmp_path.iterdir()) == []


def test_its_one_line_help_is_the_one_in_the_overview() -> None:
    assert init.help and init.help.splitlines()[0] == COMMANDS["Plan"]["init"][2]


def test_what_set_up_makes_is_ignored_too(repository: Path) -> None:
    (repository / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (repository / ".gitignore").write_text("__pycache__\n")
    run_init()
    assert (repository / ".gitignore").read_text().splitlines() == ["__pycache__", ".env", ".venv/", "*.egg-info/"]
    run_init()
    assert len((repository / ".gitignore").read_text().splitlines()) == 4
