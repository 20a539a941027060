"""What ``br3 doctor`` says of hooks, and that what it says next mends it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.conftest import Scratch

PLAN = """
[plan]
name = "waiting"
[setup]
run = ["true"]
[verify]
run = ["true"]
[hooks]
pre_push = ["true"]
[[build]]
id = "only"
agent = "manual"
"""


def complaints(repo: Scratch, cwd: Path | None = None) -> list[tuple[str, str, str]]:
    """What is not well of hooks, checkout and worktrees: (what, what it says, what to do)."""
    found = repo.br3("doctor", "--json", code=None, cwd=cwd).json["findings"]
    wanted = ("hooks", "checkout", "worktrees")
    return [(f["what"], f["said"], f["hint"]) for f in found if f["what"] in wanted and not f["ok"]]


def test_hooks_that_are_installed_and_hooks_that_are_not_are_fine(repo: Scratch) -> None:
    assert complaints(repo) == []
    repo.br3("hooks", "install")
    assert complaints(repo) == []


def test_a_bare_repository_with_a_checkout_is_told_and_mended(repo: Scratch) -> None:
    repo.commit("first")
    repo.git("config", "core.bare", "true")
    ((what, said, hint),) = complaints(repo)
    assert what == "checkout" and "core.bare" in said
    assert "fatal" in repo.git("status", check=False) or repo.git("status", check=False) == ""
    repo.git(*shlex.split(hint)[1:])
    assert complaints(repo) == []
    assert "On branch" in repo.git("status")


def damage(repo: Scratch, name: str) -> None:
    home = repo.common_dir / "br3" / "hooks"
    settings = home / "settings"
    match name:
        case "a shim is gone":
            (repo.common_dir / "hooks" / "pre-commit").unlink()
        case "a shim may not be executed":
            (repo.common_dir / "hooks" / "pre-push").chmod(0o644)
        case "the interpreters are gone":
            lines = [line for line in settings.read_text().splitlines() if not line.startswith("python=")]
            settings.write_text("\n".join([*lines[:-1], "python=/nowhere/python3", lines[-1], ""]))
        case "br3 has moved":
            settings.write_text(settings.read_text().replace("check=", "check=/nowhere"))
        case "the settings are cut off":
            settings.write_text(settings.read_text()[:40])
        case "a script is gone" | "the guard's settings are gone":
            (home / ("guard.sh" if name == "a script is gone" else "guard.json")).unlink()
        case "hooksPath leads elsewhere":
            repo.git("config", "core.hooksPath", str(repo.common_dir / "other"))
        case "the manifest is damaged":
            (home / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a shim is gone", "pre-commit"),
        ("a shim may not be executed", "may not be executed"),
        ("the interpreters are gone", "/nowhere/python3"),
        ("br3 has moved", "not where it was"),
        ("the settings are cut off", "damaged"),
        ("a script is gone", "guard.sh"),
        ("the guard's settings are gone", "guard.json"),
        ("hooksPath leads elsewhere", "core.hooksPath has changed"),
        ("the manifest is damaged", "manifest.json is damaged"),
    ],
)
def test_what_is_damaged_is_told_and_mended_by_what_comes_next(repo: Scratch, name: str, told: str) -> None:
    repo.br3("hooks", "install", "--form", "shims")
    damage(repo, name)
    found = complaints(repo)
    assert any(told in said for _, said, _ in found), found
    assert {hint for _, _, hint in found} == {"br3 hooks install"}
    repo.br3("hooks", "status", code=1)
    repo.br3("hooks", "install")
    assert complaints(repo) == []
    repo.br3("hooks", "status")


def test_a_worktree_without_the_directory_of_a_relative_hooks_path_is_told(repo: Scratch, tmp_path: Path) -> None:
    repo.write(".gitignore", ".hooks/\n")
    repo.commit("first")
    repo.git("config", "core.hooksPath", ".hooks")
    repo.br3("hooks", "install", "--form", "shims")
    other = tmp_path / "other tree"
    repo.git("worktree", "add", "--quiet", "-b", "other", str(other))
    ((what, said, hint),) = complaints(repo)
    assert what == "hooks" and str(other) in said and "br3 hooks install" in hint
    repo.br3("hooks", "install", "--form", "shims", cwd=other)
    assert complaints(repo) == []


def test_worktrees_that_no_hook_has_seen_are_told_and_set_up(repo: Scratch, tmp_path: Path) -> None:
    repo.plan('[setup]\nrun = ["touch made"]\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nprompt = "x"\n')
    repo.write(".gitignore", "made\n")
    repo.commit("ignore")
    repo.br3("hooks", "install")
    repo.br3("trust", "--trust")
    place = tmp_path / "unseen"
    repo.git("worktree", "add", "--quiet", "--no-checkout", str(place))
    repo.git("reset", "--quiet", "--hard", cwd=place)
    ((what, said, hint),) = complaints(repo)
    assert what == "worktrees" and str(place) in said and hint.endswith("br3 hooks setup")
    assert "touch made" in repo.br3("hooks", "setup", cwd=place).out
    assert (place / "made").exists()
    assert complaints(repo) == []
    assert "already" in repo.br3("hooks", "setup", cwd=place).out


def test_installing_says_what_hooks_will_not_run_until_it_is_approved(repo: Scratch) -> None:
    repo.plan(PLAN)
    said = repo.br3("hooks", "install").out
    assert "not approved, so not run by hooks: set-up, pre-push" in said and "br3 trust" in said
    repo.br3("trust", "--trust")
    assert "not approved" not in repo.br3("hooks", "install").out
