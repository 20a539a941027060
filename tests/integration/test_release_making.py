"""``br3 release`` that changes files: version, changelog, the verified commit, base and tag in one step."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Scratch, shell_plan, toml, until, writing
from tests.integration.keeping import once

USAGE = '{"model": "m-1", "input_tokens": 7, "output_tokens": 3, "cost_usd": "1.25"}'
FILES = 'changelog = "CHANGELOG.md"\nversion_files = ["pyproject.toml", "pkg/__init__.py", "VERSION"]\n'
OLD = 'read v < VERSION; test "$v" = 0.3.0'
"""A command that passes until the version changes."""
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 0.3.0 - 2026-01-01\n\n- Begin.\n"


@pytest.fixture
def repo(kept_repo: Scratch) -> Scratch:
    return kept_repo


def make(repo: Scratch, release: str = 'bump = "auto"\n' + FILES, *, verify: str = "true") -> str:
    """A project at v0.3.0 on which a feature and a fix have landed; returns base."""
    once(repo, f"{release}{verify}", lambda: _make(repo, release, verify))
    return repo.head()


def _make(repo: Scratch, release: str, verify: str) -> None:
    repo.write("pyproject.toml", '[project]\nname = "p"\nversion = "0.3.0"\n')
    (repo.path / "pkg").mkdir()
    (repo.path / "pkg" / "__init__.py").write_bytes(b'__version__ = "0.3.0"\r\n')
    repo.write("VERSION", "0.3.0").chmod(0o755)
    repo.write("CHANGELOG.md", CHANGELOG)
    repo.commit("begin")
    repo.git("tag", "v0.3.0")
    plan = shell_plan({"a": f"echo '{USAGE}' >> $BR3_USAGE_FILE; {writing('a')}", "b": writing("b")})
    plan = plan.replace('[verify]\nrun = ["true"]', f"[verify]\nrun = [{toml(verify)}]", 1)
    plan = plan.replace('id = "a"\n', 'id = "a"\ntitle = "Storage"\nmessage = "feat: Storage"\n')
    plan = plan.replace('id = "b"\n', 'id = "b"\ntitle = "Totals"\nmessage = "fix: Totals"\n')
    repo.plan(plan + f"[setup]\n[release]\n{release}")
    repo.br3("run", "--trust")
    repo.br3("merge")


def everything(repo: Scratch) -> tuple[str, str, str, bytes]:
    """All that a release may move: refs, the state of the checkout, its files, the index."""
    files = "".join(
        f"{p}:{p.read_text()!r}" for p in sorted(repo.path.rglob("*")) if p.is_file() and ".git" not in p.parts
    )
    return repo.git("for-each-ref"), repo.git("status", "--porcelain"), files, (repo.path / ".git/index").read_bytes()


def test_the_version_follows_from_the_commits_and_files_hold_it_in_a_commit_on_base(repo: Scratch) -> None:
    before = make(repo)
    data = repo.br3("release", "--json").json
    assert (data["tag"], data["version"], data["base_before"]) == ("v0.4.0", "0.4.0", before)
    assert data["reason"] == "1 feature, 1 fix since v0.3.0"
    assert [file["path"] for file in data["files"]] == ["pyproject.toml", "pkg/__init__.py", "VERSION", "CHANGELOG.md"]
    assert data["commit"] == repo.head() == repo.head("v0.4.0^{commit}")
    assert repo.head("main^") == before
    assert repo.git("log", "-1", "--format=%s|%an") == "chore: Release v0.4.0|A Tester"
    assert repo.git("status", "--porcelain") == ""
    assert (repo.path / "pkg" / "__init__.py").read_bytes() == b'__version__ = "0.4.0"\r\n'
    assert (repo.path / "VERSION").read_text() == "0.4.0"
    assert repo.git("ls-tree", "main", "VERSION").startswith("100755 blob")
    assert 'version = "0.4.0"\n' in (repo.path / "pyproject.toml").read_text()


def test_the_changelog_and_the_tag_say_what_landed_and_what_it_cost(repo: Scratch) -> None:
    make(repo, verify="echo 'Ran 7 tests in 0.010s'; echo; echo OK")
    repo.br3("release")
    text = (repo.path / "CHANGELOG.md").read_text()
    day = repo.git("log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d")
    section = (
        f"## Unreleased\n\n## 0.4.0 - {day}\n\n### Added\n\n- Storage\n\n### Fixed\n\n- Totals\n\n"
        "Tests: 7 pass now. Models: m-1. Cost: $1.25, without b, whose cost is unknown.\n\n"
    )
    assert text == CHANGELOG.replace("## Unreleased\n\n", section)
    message = repo.git("tag", "--list", "--format=%(contents)", "v0.4.0")
    assert message.rstrip("\n") == (
        "test\n\nLanded on main:\n\n- a: Storage (m-1, cost $1.25)\n- b: Totals (cost unknown)\n\n"
        "Tests: 7 pass now\nModels: m-1\nCost: $1.25, without b, whose cost is unknown"
    )


def test_the_next_release_is_of_what_landed_since_and_knows_the_tests_before(repo: Scratch) -> None:
    make(repo, verify="echo 'Ran 7 tests in 0.010s'; echo; echo OK")
    repo.br3("release")
    plan = (repo.path / "br3.toml").read_text()
    plan = plan.replace("Ran 7", "Ran 9").split("[release]")[0]
    more = f'[[build]]\nid = "c"\ntitle = "Speed"\nmessage = "perf: Speed"\ncommand = {toml(writing("c"))}\n'
    repo.plan(plan + more + f'[release]\nbump = "auto"\n{FILES}')
    repo.br3("run", "--trust")
    repo.br3("merge")
    data = repo.br3("release", "--json").json
    assert data["tag"] == "v0.4.1"
    assert data["notes"] == (
        "test\n\nLanded on main:\n\n- c: Speed (9 tests passed, cost unknown)\n\n"
        "Tests: 7 passed before, 9 pass now\nCost: unknown\n"
    )


def test_a_build_that_the_plan_has_no_more_is_still_named(repo: Scratch) -> None:
    make(repo)
    plan = shell_plan({"c": writing("c")}) + '[setup]\n[release]\nbump = "auto"\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("merge")
    notes = repo.br3("release", "--json").json["notes"]
    assert "- a: Storage (m-1, cost $1.25)\n- b: Totals (cost unknown)\n- c: c (cost unknown)\n" in notes


def test_a_build_that_was_reverted_since_is_not_in_it(repo: Scratch) -> None:
    make(repo, 'bump = "auto"\n')
    merge = repo.git("log", "--merges", "--format=%H", "--grep=^feat: Storage").strip()
    repo.git("revert", "--mainline=1", "--no-edit", merge)
    data = repo.br3("release", "--json").json
    assert (data["tag"], data["reason"]) == ("v0.3.1", "1 fix since v0.3.0")
    assert "Storage" not in data["notes"] and "Totals" in data["notes"]


def test_a_build_that_wrote_into_the_changelog_is_not_listed_there_again(repo: Scratch) -> None:
    repo.write("CHANGELOG.md", CHANGELOG)
    command = "printf '# Changelog\\n\\n## Unreleased\\n\\n- Mine.\\n\\n## 0.3.0\\n' > CHANGELOG.md"
    repo.plan(shell_plan({"a": command}) + '[release]\nversion = "1.0.0"\nchangelog = "CHANGELOG.md"\n')
    repo.br3("run", "--trust")
    repo.br3("merge")
    repo.br3("release")
    text = (repo.path / "CHANGELOG.md").read_text()
    assert "## 1.0.0 - " in text and "- Mine.\n\nCost: unknown.\n" in text and "- a\n" not in text


def test_without_files_to_change_the_tag_is_of_base_as_it_stands(repo: Scratch) -> None:
    before = make(repo, 'bump = "auto"\n')
    repo.br3("release")
    assert repo.head() == before == repo.head("v0.4.0^{commit}")
    assert repo.events("landing.intent")[-1].data["what"] == "merge"


def test_the_commit_is_verified_before_base_moves(repo: Scratch) -> None:
    before = make(repo, verify='read v < VERSION; test "$v" = 0.3.0 || { echo OLD VERSION IS EXPECTED; exit 1; }; true')
    state = everything(repo)
    said = repo.br3("release", code=1)
    assert "nothing was released: with pyproject.toml, pkg/__init__.py, VERSION, CHANGELOG.md changed" in said.err
    assert "OLD VERSION IS EXPECTED" in said.err and "--dry-run" in said.err
    assert (repo.head(), everything(repo)) == (before, state)


def test_what_passed_is_the_very_tree_that_base_moves_to(repo: Scratch) -> None:
    make(repo)
    repo.br3("release")
    assert [e.data["tree"] for e in repo.events("quality.passed")][-1] == repo.head("main^{tree}")


def test_commands_that_nobody_has_approved_are_not_run(repo: Scratch) -> None:
    make(repo)
    repo.br3("trust", "--revoke")
    state = repo.git("for-each-ref")
    assert "br3 trust" in repo.br3("release", code=3).err
    assert repo.git("for-each-ref") == state


def test_a_dry_run_shows_it_all_and_changes_nothing(repo: Scratch) -> None:
    before = make(repo)
    state, events, objects = everything(repo), len(repo.events()), repo.git("count-objects")
    said = repo.br3("release", "--dry-run").out
    assert "v0.4.0  1 feature, 1 fix since v0.3.0" in said
    assert '    -version = "0.3.0"\n    +version = "0.4.0"\n' in said
    assert "    +### Added\n" in said
    assert f"commits  chore: Release v0.4.0 (on main at {before[:9]}, and verifies it)" in said
    assert "tags     v0.4.0" in said and "    - a: Storage (m-1, cost $1.25)\n" in said
    assert "pushes   nothing" in said
    data = repo.br3("release", "--dry-run", "--json").json
    assert (data["dry_run"], data["tag"], data["commit"], data["pushed"]) == (True, "v0.4.0", None, False)
    assert data["files"][2] == {"path": "VERSION", "diff": ["@@ -1 +1 @@", "-0.3.0", "+0.4.0"]}
    assert (everything(repo), len(repo.events()), repo.git("count-objects")) == (state, events, objects)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"VERSION": "0.2.9"},
            "the version files do not agree: pyproject.toml, pkg/__init__.py: 0.3.0; VERSION: 0.2.9",
        ),
        ({"VERSION": None}, "there is no file VERSION on base"),
        ({"pkg/__init__.py": "x = 1\n"}, "pkg/__init__.py: a line __version__ = … is not in it"),
        ({"pyproject.toml": '[project]\nname = "p"\n'}, "pyproject.toml has no [project] version"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_any_is_written(
    repo: Scratch, change: dict[str, str | None], told: str
) -> None:
    make(repo)
    for name, text in change.items():
        repo.write(name, text) if text is not None else (repo.path / name).unlink()
    repo.commit("spoil")
    state = everything(repo)
    assert told in repo.br3("release", code=2).err
    assert everything(repo) == state


def test_files_that_hold_the_version_already_need_no_commit(repo: Scratch) -> None:
    make(repo, 'bump = "auto"\nversion_files = ["VERSION"]\n')
    repo.write("VERSION", "0.4.0")
    before = repo.commit("by hand")
    repo.br3("release")
    assert repo.head() == before == repo.head("v0.4.0^{commit}")


def test_a_prerelease_is_written_in_python_s_form_where_python_reads_it(repo: Scratch) -> None:
    make(repo)
    repo.br3("release", "--version", "3.1.0-alpha.4")
    assert 'version = "3.1.0a4"' in repo.git("show", "main:pyproject.toml")
    assert repo.git("show", "main:VERSION") == "3.1.0-alpha.4"
    repo.write("more", "x")
    repo.commit("feat: More")
    assert repo.br3("release", "--json").json["tag"] == "v3.1.0-alpha.5"
    assert repo.git("tag", "--list", "v3*").split() == ["v3.1.0-alpha.4", "v3.1.0-alpha.5"]


def test_nothing_releasable_says_so(repo: Scratch) -> None:
    make(repo, 'bump = "auto"\n')
    repo.br3("release")
    repo.write("docs.md", "x")
    repo.commit("docs: Say it")
    said = repo.br3("release", code=1)
    assert "there is nothing to release on main since v0.4.0: 1 commit, no feat, no fix, nothing breaking" in said.err
    assert "br3 release --bump patch" in said.err
    assert repo.br3("release", "--bump", "patch", "--json").json["tag"] == "v0.4.1"


def test_the_same_step_again_is_the_same_release_and_another_step_another(repo: Scratch) -> None:
    make(repo, 'tag = "v{version}"\nbump = "minor"\nversion_files = ["VERSION"]\n')
    for words, tag in ((), "v0.4.0"), ((), "v0.4.0"), (("--bump=patch",), "v0.4.1"), (("--bump=auto",), "v0.4.1"):
        assert repo.br3("release", *words, "--json").json["tag"] == tag
    assert repo.git("show", "main:VERSION") == "0.4.1"


def test_a_version_below_the_last_release_is_refused(repo: Scratch) -> None:
    make(repo)
    said = repo.br3("release", "--version", "0.2.0", code=2)
    assert "0.2.0 comes before 0.3.0" in said.err


def test_a_local_change_of_the_changelog_is_in_the_way_and_named_before_anything_moves(repo: Scratch) -> None:
    make(repo, verify="case $BR3_WORKTREE in *) :;; esac")
    mine = repo.write("CHANGELOG.md", "mine\n")
    state, runs = everything(repo), len(repo.events("quality.passed"))
    said = repo.br3("release", code=3)
    assert "CHANGELOG.md" in said.err and "commit or stash" in said.err
    assert everything(repo) == state and mine.read_text() == "mine\n"
    assert len(repo.events("quality.passed")) == runs


def test_other_local_changes_stay_as_they_are(repo: Scratch) -> None:
    make(repo)
    repo.write("README.md", "edited\n")
    repo.write("staged", "x")
    repo.git("add", "staged")
    state = repo.git("status", "--porcelain")
    repo.br3("release")
    assert repo.git("status", "--porcelain") == state
    assert (repo.path / "README.md").read_text() == "edited\n"


def test_base_that_moves_while_it_is_verified_gets_the_release_on_top(repo: Scratch) -> None:
    go = repo.path.parent / "go"
    name = shlex.quote(str(go))
    waiting = f"{OLD} || {{ : > {name}-ready; until test -e {name}; do :; done; }}"
    make(repo, verify=waiting)
    process = repo.start("release", "--json")
    until(lambda: Path(f"{go}-ready").exists())
    repo.write("theirs", "x")
    theirs = repo.commit("theirs")
    go.touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert repo.head("main^") == theirs
    assert repo.head("v0.4.0^{commit}") == repo.head()


def test_a_tag_of_that_name_elsewhere_is_refused(repo: Scratch) -> None:
    make(repo)
    repo.git("tag", "v0.4.0", repo.git("commit-tree", "-m", "x", "main^{tree}"))
    state = everything(repo)
    said = repo.br3("release", code=3)
    assert "the tag v0.4.0 exists already, and is not on main" in said.err
    assert everything(repo) == state


def test_two_at_once_make_one_release(repo: Scratch) -> None:
    make(repo)
    both = [repo.start("release") for _ in range(2)]
    said = [process.communicate() for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 3]), said
    assert repo.git("tag", "--list").split() == ["v0.3.0", "v0.4.0"]
    assert repo.git("log", "--format=%s", "--grep=^chore: Release") == "chore: Release v0.4.0"


def test_the_commit_s_message_is_the_plan_s(repo: Scratch) -> None:
    make(repo, 'bump = "minor"\ncommit_message = "Go {version} ({tag})"\nversion_files = ["VERSION"]\n')
    repo.br3("release")
    assert repo.git("log", "-1", "--format=%s") == "Go 0.4.0 (v0.4.0)"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_commit_and_tag_are_signed_when_git_is_configured_so(repo: Scratch, tmp_path: Path) -> None:
    make(repo)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (tmp_path / "allowed").write_text(f"tester@example.invalid {(tmp_path / 'key.pub').read_text()}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "tag.gpgSign": "true",
        "commit.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(tmp_path / "allowed"),
    }.items():
        repo.git("config", name, value)
    repo.br3("release")
    repo.git("verify-tag", "v0.4.0")
    repo.git("verify-commit", "main")
    assert "SIGNATURE" not in repo.br3("release", "--json").json["notes"]
    repo.git("config", "--unset", "tag.gpgSign")
    with (repo.path / ".git" / "config").open("a") as config:
        config.write("[tag]\n\tgpgSign\n")  # which is true, too
    repo.br3("release", "--tag", "v0.4.1")
    repo.git("verify-tag", "v0.4.1")
    key.with_suffix(".pub").unlink()
    key.unlink()
    state = everything(repo)
    said = repo.br3("release", "--tag", "v0.4.2", code=1)
    assert "git could not write a signed commit: " in said.err and "git config commit.gpgSign false" in said.err
    repo.git("config", "commit.gpgSign", "false")
    said = repo.br3("release", "--tag", "v0.4.2", code=1)
    assert "git could not write a signed tag: " in said.err and "git config tag.gpgSign false" in said.err
    assert everything(repo) == state


def test_a_shallow_clone_begins_no_new_line_of_versions(repo: Scratch) -> None:
    make(repo, 'bump = "auto"\n')
    (repo.common_dir / "shallow").write_text(repo.head() + "\n")
    said = repo.br3("release", code=2)
    assert "this clone is shallow" in said.err and "git fetch --unshallow --tags" in said.err
    (repo.common_dir / "shallow").unlink()
    assert repo.br3("release", "--json").json["tag"] == "v0.4.0"


def test_finish_releases_what_the_plan_asks_for(repo: Scratch) -> None:
    make(repo)
    said = repo.br3("finish")
    assert "tagged  v0.4.0" in said.out
    assert repo.head("v0.4.0^{commit}") == repo.head()
    assert "tagged already:  v0.4.0" in repo.br3("finish").out


def git_that_first(directory: Path, when: str, what: str) -> str:
    """A PATH whose git does ``what``, a git command, once before it does ``when``."""
    directory.mkdir()
    real, done = shlex.quote(str(shutil.which("git"))), shlex.quote(str(directory / "done"))
    first = f"if ! test -e {done}; then : > {done}; {real} {what} </dev/null; fi"
    wrapper = directory / "git"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *{shlex.quote(when)}*) {first};; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("release", ['bump = "auto"\n', 'bump = "auto"\n' + FILES], ids=["tag", "commit and tag"])
def test_base_that_moves_at_the_last_moment_gets_the_release_on_top(
    repo: Scratch, tmp_path: Path, release: str
) -> None:
    make(repo, release)
    theirs = repo.git("commit-tree", "-m", "theirs", "-p", "main", "main^{tree}")
    move = f"-C {shlex.quote(str(repo.path))} update-ref refs/heads/main {theirs}"
    repo.br3("release", env={"PATH": git_that_first(tmp_path / "bin", "update-ref --stdin", move)})
    assert repo.head("v0.4.0^{commit}") == repo.head()
    assert repo.head("main" if "changelog" not in release else "main^") == theirs
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("release", ['bump = "auto"\n', 'bump = "auto"\n' + FILES], ids=["tag", "commit and tag"])
def test_a_tag_that_comes_at_the_last_moment_is_kept_and_nothing_moves(
    repo: Scratch, tmp_path: Path, release: str
) -> None:
    before = make(repo, release)
    make_tag = f"-C {shlex.quote(str(repo.path))} tag v0.4.0 v0.3.0"
    repo.br3("release", code=3, env={"PATH": git_that_first(tmp_path / "bin", "update-ref --stdin", make_tag)})
    assert (repo.head(), repo.head("v0.4.0")) == (before, repo.head("v0.3.0^{commit}"))
    assert repo.git("status", "--porcelain") == ""


def test_a_tag_that_somebody_made_again_is_theirs(repo: Scratch) -> None:
    make(repo, 'version = "0.4.0"\n')
    repo.br3("release")
    repo.git("tag", "--force", "v0.4.0", "v0.4.0^{commit}")
    assert "the tag v0.4.0 exists already" in repo.br3("release", code=3).err


def test_a_tag_without_what_has_landed_since_is_refused(repo: Scratch) -> None:
    make(repo, 'version = "0.4.0"\n')
    repo.br3("release")
    repo.plan((repo.path / "br3.toml").read_text() + f'[[build]]\nid = "c"\ncommand = {toml(writing("c"))}\n')
    repo.br3("run", "--trust")
    said = repo.br3("finish", code=3)
    assert "the tag v0.4.0 is at" in said.err and "without c; nothing was landed" in said.err
    repo.br3("merge")
    assert "without c" in repo.br3("release", code=3).err
