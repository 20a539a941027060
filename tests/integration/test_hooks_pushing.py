"""pre-push with a real remote: every ref, the new commits, protected branches, and the plan's own commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from br3.telemetry import Journal
from tests.conftest import Said, making, script, toml
from tests.integration.hooking import PLAN, SECRET, Ground, Templates, kinds, lines_of_br3, linked


@pytest.fixture
def spot(templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """A linked worktree, where git exports most; the matrix has a push from every other place."""
    return Ground(tmp_path / "side", name=templates.copy("linked", linked, tmp_path))


@pytest.fixture
def there(spot: Ground, tmp_path: Path) -> Ground:
    """A bare repository that is the remote ``there``, with what has been committed so far."""
    path = tmp_path / "there.git"
    Ground(tmp_path).git("init", "--quiet", "--bare", os.fspath(path))
    spot.git("remote", "add", "there", os.fspath(path))
    spot.plain("push", "--quiet", "there", "work", "main", "release/1")
    return Ground(path)


def at(there: Ground, ref: str) -> str:
    return there.git("rev-parse", "--verify", "--quiet", ref, check=False)


def pushed(ground: Ground) -> list[list[str]]:
    """The refs of each push that went through the hook."""
    return [list(event.data["refs"]) for event in ground.events("hook.pushed")]


def refused(said: Said, text: str) -> None:
    assert said.code != 0 and [line for line in lines_of_br3(said) if text in line], said.err
    assert "Traceback" not in said.err


def plan_with(ground: Ground, *commands: str, setup: tuple[str, ...] = (), trusted: bool = True) -> None:
    """Compile a plan with these ``[hooks] pre_push``, and approve it."""
    listed = ", ".join(map(toml, commands))
    text = PLAN.replace("[hooks]\n", f"[hooks]\npre_push = [{listed}]\n")
    if setup:
        text += f"[setup]\nrun = [{', '.join(map(toml, setup))}]\n"
    ground.write("br3.toml", text)
    if trusted:
        ground.br3("trust", "--trust")
    ground.br3("hooks", "install")


# --- refs -----------------------------------------------------------------------------------------------------------


def test_a_new_branch(spot: Ground, there: Ground) -> None:
    spot.record()
    spot.git("push", "--quiet", "--set-upstream", "there", "HEAD:refs/heads/new")
    assert at(there, "new") == spot.tip and pushed(spot) == [["refs/heads/new"]]


def test_an_update(spot: Ground, there: Ground) -> None:
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/new")
    spot.record()
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/new")
    assert at(there, "new") == spot.tip and pushed(spot) == [["refs/heads/new"]]


@pytest.mark.parametrize("words", [["--delete", "new"], [":new"]])
def test_a_deletion(spot: Ground, there: Ground, words: list[str]) -> None:
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/new")
    option = [word for word in words if word.startswith("--")]
    spot.git("push", "--quiet", *option, "there", *words[len(option) :])
    assert at(there, "new") == "" and pushed(spot) == [["refs/heads/new"]]


@pytest.mark.parametrize("option", ["--force", "--force-with-lease"])
def test_a_forced_push_of_a_branch_that_is_not_protected(spot: Ground, there: Ground, option: str) -> None:
    spot.record()
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/new")
    spot.git("fetch", "--quiet", "there")
    spot.plain("commit", "--quiet", "--amend", "--message", "other")
    spot.git("push", "--quiet", option, "there", "HEAD:refs/heads/new")
    assert at(there, "new") == spot.tip


@pytest.mark.parametrize("words", [["tag", "v1"], ["tag", "--annotate", "--message", "x", "v1"]])
def test_a_tag(spot: Ground, there: Ground, words: list[str]) -> None:
    spot.record()
    spot.git(*words)
    spot.git("push", "--quiet", "there", "v1")
    assert at(there, "v1^{commit}") == spot.tip and pushed(spot) == [["refs/tags/v1"]]


def test_a_tag_of_a_file(spot: Ground, there: Ground) -> None:
    spot.git("tag", "file", spot.git("rev-parse", "HEAD:file.txt"))
    spot.git("push", "--quiet", "there", "file")
    assert there.git("cat-file", "-t", "file") == "blob"


def test_a_secret_behind_a_tag_is_refused(spot: Ground, there: Ground) -> None:
    spot.record(text=f"{SECRET}\n")
    spot.git("tag", "--annotate", "--message", "x", "v1")
    refused(spot.call("push", "there", "v1"), f"{spot.tip[:10]} new.txt:1")
    assert at(there, "v1") == ""


def test_several_refs_at_once(spot: Ground, there: Ground) -> None:
    spot.record()
    spot.git("tag", "v1")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/one", "HEAD~1:refs/heads/two", "v1")
    (refs,) = pushed(spot)
    assert sorted(refs) == ["refs/heads/one", "refs/heads/two", "refs/tags/v1"]


@pytest.mark.parametrize("last", [False, True])
def test_one_bad_ref_of_several_stops_them_all(spot: Ground, there: Ground, last: bool) -> None:
    good = spot.tip
    spot.record(text=f"{SECRET}\n")
    refs = ["HEAD:refs/heads/bad", f"{good}:refs/heads/good"]
    refused(spot.call("push", "there", *(refs[::-1] if last else refs)), "new.txt:1")
    assert at(there, "bad") == at(there, "good") == ""


@pytest.mark.parametrize("expression", ["HEAD", "HEAD~0", "@", "HEAD^{/a change with spaces}"])
def test_any_expression_as_the_local_side(spot: Ground, there: Ground, expression: str) -> None:
    spot.record(message="a change with spaces")
    spot.git("push", "--quiet", "there", f"{expression}:refs/heads/x")
    assert at(there, "x") == spot.tip
    assert [event.data["commits"] for event in spot.events("hook.pushed")] == [[spot.tip]]


def test_a_branch_of_any_name(spot: Ground, there: Ground) -> None:
    name = "fa\u00e7ade/\"x'"
    spot.record()
    spot.git("push", "--quiet", "there", f"HEAD:refs/heads/{name}")
    assert at(there, f"refs/heads/{name}") == spot.tip


def test_a_name_with_a_line_separator_hides_nothing(spot: Ground, there: Ground) -> None:
    spot.record("a.txt", f"k = {SECRET}\n")
    refused(spot.call("push", "there", "HEAD:refs/heads/a\u2028b"), "github")
    assert at(there, "a\u2028b") == ""


def test_nothing_to_push_records_nothing(spot: Ground, there: Ground) -> None:
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/x")
    spot.git("push", "there", "HEAD:refs/heads/x")
    assert kinds(spot.events()) == []


def test_a_dry_run_is_looked_at(spot: Ground, there: Ground) -> None:
    spot.record(text=f"{SECRET}\n")
    refused(spot.call("push", "--dry-run", "there", "HEAD:refs/heads/x"), "new.txt:1")


def test_a_remote_given_by_its_path(spot: Ground, there: Ground) -> None:
    spot.record()
    spot.git("push", "--quiet", os.fspath(there.path), "HEAD:refs/heads/x")
    assert at(there, "x") == spot.tip and pushed(spot) == [["refs/heads/x"]]
    spot.record("other.txt", f"{SECRET}\n")
    refused(spot.call("push", os.fspath(there.path), "HEAD:refs/heads/x"), "other.txt:1")


@pytest.mark.parametrize("option", ["--all", "--mirror"])
def test_everything_at_once(spot: Ground, there: Ground, option: str) -> None:
    spot.record(text=f"{SECRET}\n")
    refused(spot.call("push", option, "there"), "new.txt:1")
    spot.plain("reset", "--quiet", "--hard", "HEAD^")
    spot.git("push", "--quiet", option, "there")


def test_from_a_bare_repository(ground: Ground, there_bare: Ground) -> None:
    there_bare.br3("hooks", "install")
    ground.record(text=f"{SECRET}\n")
    ground.plain("push", "--quiet", os.fspath(there_bare.path), "HEAD:refs/heads/x")
    said = there_bare.call("push", "next", "x")
    refused(said, "new.txt:1")
    assert there_bare.call("push", "--quiet", "next", "x~1:refs/heads/y").code == 0


@pytest.fixture
def there_bare(ground: Ground, tmp_path: Path) -> Ground:
    """A bare repository with a remote of its own."""
    Ground(tmp_path).git("init", "--quiet", "--bare", "next.git")
    Ground(tmp_path).git("clone", "--quiet", "--bare", os.fspath(ground.path), "bare.git")
    bare = Ground(tmp_path / "bare.git")
    bare.git("remote", "add", "next", os.fspath(tmp_path / "next.git"))
    return bare


# --- new commits ----------------------------------------------------------------------------------------------------


def test_a_secret_in_the_middle_is_found_though_it_was_taken_out_again(spot: Ground, there: Ground) -> None:
    spot.record("a.txt")
    spot.record("secret.txt", f"{SECRET}\n")
    middle = spot.tip
    spot.git("rm", "--quiet", "secret.txt")
    spot.plain("commit", "--quiet", "--message", "out again")
    said = spot.call("push", "there", "HEAD:refs/heads/x")
    refused(said, f"{middle[:10]} secret.txt:1")
    (event,) = spot.events("security.violation")
    assert (event.data["hook"], event.data["commit"]) == ("pre-push", middle)
    assert said.err.count("secret.txt:1") == 1


def test_what_the_remote_has_already_is_not_looked_at_again(spot: Ground, there: Ground) -> None:
    spot.record(text=f"{SECRET}\n")
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/x")
    spot.record("more.txt")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")
    assert at(there, "x") == spot.tip


def test_a_secret_on_another_branch_is_not_part_of_it(spot: Ground, there: Ground) -> None:
    start = spot.tip
    spot.record(text=f"{SECRET}\n")
    spot.plain("branch", "bad")
    spot.plain("reset", "--quiet", "--hard", start)
    spot.record("good.txt")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/good")


def test_a_secret_may_be_skipped_once_and_that_is_recorded(spot: Ground, there: Ground) -> None:
    spot.record(text=f"{SECRET}\n")
    spot.call("push", "there", "HEAD:refs/heads/x")
    (event,) = spot.events("security.violation")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x", env={"BR3_SKIP": event.data["rule"]})
    assert [(e.data["hook"], e.data["use"]) for e in spot.events("hook.allowed")] == [("pre-push", "skip")]


def test_no_verify_is_git_s_own_way_out(spot: Ground, there: Ground) -> None:
    spot.record(text=f"{SECRET}\n")
    spot.git("push", "--quiet", "--no-verify", "there", "HEAD:refs/heads/x")


# --- protected branches ---------------------------------------------------------------------------------------------


def test_a_protected_branch_is_not_deleted(spot: Ground, there: Ground) -> None:
    before = at(there, "release/1")
    refused(spot.call("push", "there", ":release/1"), "release/1 would be deleted")
    assert at(there, "release/1") == before
    assert [e.data["rule"] for e in spot.events("hook.blocked")] == ["protected-branch"]


def test_a_protected_branch_is_not_forced(spot: Ground, there: Ground) -> None:
    before = at(there, "release/1")
    other = spot.plain("commit-tree", "-m", "other", "HEAD^{tree}")
    refused(spot.call("push", "--force", "there", f"{other}:refs/heads/release/1"), "another history")
    assert at(there, "release/1") == before


def test_a_protected_branch_gets_nothing_that_has_not_landed(spot: Ground, there: Ground) -> None:
    spot.record()
    before = at(there, "release/1")
    refused(spot.call("push", "there", "HEAD:refs/heads/release/1"), "has not landed")
    assert at(there, "release/1") == before


def test_a_protected_branch_gets_what_br3_has_landed(spot: Ground, there: Ground) -> None:
    old = spot.tip
    spot.record()
    Journal(spot.common_dir).append("landing.moved", base="main", old=old, new=spot.tip, builds=["docs"])
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/release/1")
    assert at(there, "release/1") == spot.tip


def test_what_landed_is_not_forced_over_another_history(spot: Ground, there: Ground) -> None:
    other = spot.plain("commit-tree", "-m", "other", "HEAD^{tree}")
    Journal(spot.common_dir).append("landing.moved", base="main", old=spot.tip, new=other, builds=["docs"])
    refused(spot.call("push", "--force", "there", f"{other}:refs/heads/release/1"), "another history")


def test_a_protected_branch_that_the_remote_does_not_have_is_made(spot: Ground, there: Ground) -> None:
    spot.record()
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/release/2")
    assert at(there, "release/2") == spot.tip


def test_a_protected_branch_whose_commits_are_not_known_here(spot: Ground, there: Ground) -> None:
    there.git("update-ref", "refs/heads/release/1", there.git("commit-tree", "-m", "unknown", "work^{tree}"))
    spot.record()
    refused(spot.call("push", "--force", "there", "HEAD:refs/heads/release/1"), "release/1 would be forced")


def test_a_protected_branch_may_be_skipped_once_and_that_is_recorded(spot: Ground, there: Ground) -> None:
    spot.record()
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/release/1", env={"BR3_SKIP": "protected-branch"})
    assert [(e.data["rule"], e.data["use"]) for e in spot.events("hook.allowed")] == [("protected-branch", "skip")]


@pytest.mark.parametrize("refs", [[":release/1"], ["+{other}:refs/heads/release/1"], ["HEAD:refs/heads/release/1"]])
def test_without_br3_a_protected_branch_is_refused_by_the_script_alone(
    spot: Ground, there: Ground, refs: list[str]
) -> None:
    other = spot.plain("commit-tree", "-m", "other", "HEAD^{tree}")
    spot.record()
    path = spot.common_dir / "br3/hooks/settings"
    path.write_text(path.read_text().replace("/entry.py", "/gone.py"))
    before = at(there, "release/1")
    refused(spot.call("push", "there", *(ref.replace("{other}", other) for ref in refs)), "release/1 is protected")
    assert at(there, "release/1") == before


def test_without_br3_another_branch_passes_with_one_line(spot: Ground, there: Ground) -> None:
    spot.record()
    path = spot.common_dir / "br3/hooks/settings"
    path.write_text(path.read_text().replace("/entry.py", "/gone.py"))
    said = spot.call("push", "--quiet", "there", "HEAD:refs/heads/x")
    assert said.code == 0 and len(lines_of_br3(said)) == 1
    path.write_text(path.read_text().replace("required=0", "required=1"))
    refused(spot.call("push", "--quiet", "there", "HEAD~1:refs/heads/y"), "required")


def test_damaged_guard_settings_let_nothing_be_pushed(spot: Ground, there: Ground) -> None:
    (spot.common_dir / "br3/hooks/guard.json").write_text("{")
    spot.record()
    said = spot.call("push", "--quiet", "there", "HEAD:refs/heads/x")
    refused(said, "guard.json")
    assert len(lines_of_br3(said)) == 1


# --- [hooks] pre_push -----------------------------------------------------------------------------------------------


def counting(directory: Path) -> tuple[str, Path]:
    """A command that passes and counts, and where it counts."""
    count = directory / "count"
    return f"printf x >> '{count}'", count


def test_commands_run_on_what_is_pushed_not_on_what_lies_here(spot: Ground, there: Ground) -> None:
    spot.record("pushed.txt")
    wanted = spot.tip
    spot.record("later.txt")
    spot.write("uncommitted.txt", "x\n")
    plan_with(spot, "test -e pushed.txt && test ! -e later.txt && test ! -e uncommitted.txt")
    spot.git("push", "--quiet", "there", f"{wanted}:refs/heads/x")
    assert at(there, "x") == wanted
    assert kinds(spot.events("quality.passed", "quality.failed")) == ["quality.passed"]


def test_a_command_that_fails_stops_the_push_and_shows_why(spot: Ground, there: Ground) -> None:
    spot.record()
    plan_with(spot, "echo it is broken; exit 3")
    said = spot.call("push", "there", "HEAD:refs/heads/x")
    refused(said, "nothing was pushed")
    assert "it is broken" in said.err and at(there, "x") == ""
    assert kinds(spot.events("quality.passed", "quality.failed", "hook.pushed")) == ["quality.failed"]
    assert [e.data["rule"] for e in spot.events("hook.blocked")] == ["pre_push"]


def test_commands_that_nobody_approved_are_not_run(spot: Ground, there: Ground, tmp_path: Path) -> None:
    command, count = counting(tmp_path)
    spot.record()
    plan_with(spot, command, trusted=False)
    refused(spot.call("push", "there", "HEAD:refs/heads/x"), "nobody has approved")
    assert not count.exists() and at(there, "x") == ""


def test_the_same_tree_is_not_tested_twice(spot: Ground, there: Ground, tmp_path: Path) -> None:
    command, count = counting(tmp_path)
    spot.record()
    plan_with(spot, command)
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/y")
    spot.plain("commit", "--quiet", "--amend", "--message", "another commit of the same tree")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/z")
    assert count.read_text() == "x"
    spot.record("more.txt")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/z")
    assert count.read_text() == "xx"


def test_what_failed_is_tested_again(spot: Ground, there: Ground, tmp_path: Path) -> None:
    spot.record()
    plan_with(spot, f"test -e '{tmp_path / 'mended'}'")
    assert spot.call("push", "there", "HEAD:refs/heads/x").code != 0
    (tmp_path / "mended").touch()
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")


def test_deletions_and_tags_are_not_tested(spot: Ground, there: Ground, tmp_path: Path) -> None:
    command, count = counting(tmp_path)
    spot.plain("push", "--quiet", "there", "HEAD:refs/heads/x")
    plan_with(spot, command)
    spot.git("tag", "v1")
    spot.git("push", "--quiet", "there", ":x", "v1")
    assert not count.exists()


def test_the_throw_away_worktree_is_set_up_and_gone_afterwards(spot: Ground, there: Ground) -> None:
    spot.record()
    plan_with(spot, "test -e made", setup=("printf x > made",))
    before = spot.git("worktree", "list", "--porcelain")
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")
    assert spot.git("worktree", "list", "--porcelain") == before


# --- what a test suite does -----------------------------------------------------------------------------------------

SUITE = """\
import os, subprocess, sys, tempfile

def git(*words):
    subprocess.run(["git", "-c", "user.name=s", "-c", "user.email=s@example.invalid", *words], check=True, cwd=place)

with tempfile.TemporaryDirectory() as place:
    git("init", "--quiet")
    with open(os.path.join(place, "a.txt"), "w") as file:
        file.write("x")
    git("add", "--all")
    git("commit", "--quiet", "--message", "of the suite")
    git("config", "core.bare", "false")
    git("worktree", "add", "--quiet", os.path.join(place, "w"))
"""


def state(root: Path) -> dict[str, str]:
    """Everything of the repositories below a directory that such a suite could wreck."""
    main, side = Ground(root / "project"), Ground(root / "side")
    return {
        "config": (root / "project/.git/config").read_text(),
        "refs": main.git("for-each-ref"),
        "heads": main.git("rev-parse", "HEAD") + side.git("rev-parse", "HEAD"),
        "index": main.git("ls-files", "--stage") + side.git("ls-files", "--stage"),
        "status": main.git("status", "--porcelain") + side.git("status", "--porcelain"),
        "worktrees": main.git("worktree", "list", "--porcelain"),
        "reflog": main.git("reflog", "--all"),
    }


def test_a_suite_that_makes_repositories_leaves_the_users_alone(spot: Ground, there: Ground, tmp_path: Path) -> None:
    spot.record()
    plan_with(spot, script(tmp_path / "suite", "suite.py", SUITE))
    before = state(tmp_path)
    said = spot.call("push", "--quiet", "there", "HEAD:refs/heads/x")
    assert said.code == 0, said.err
    assert kinds(spot.events("quality.passed")) == ["quality.passed"]
    assert {k: v for k, v in state(tmp_path).items() if k not in ("refs", "reflog")} == {
        k: v for k, v in before.items() if k not in ("refs", "reflog")
    }
    made = f"{spot.tip} commit\trefs/remotes/there/x"
    assert state(tmp_path)["refs"].replace(f"{made}\n", "").replace(f"\n{made}", "") == before["refs"]


WRECKER = """\
#!/bin/sh
[ -z "${{WRECKING-}}" ] || exit 0
WRECKING=1
export WRECKING
cd {elsewhere} && git init --quiet . && git commit --quiet --allow-empty --message wrecked
exit 0
"""


def test_a_hook_that_was_there_behaves_as_it_did(templates: Templates, tmp_path: Path, chosen_git: None) -> None:
    """Also when that is bad: git's variables are for it to clean."""
    found = []
    for name in ("without", "with"):
        root = tmp_path / name
        root.mkdir()
        templates.copy("linked", linked, root)
        main, side = Ground(root / "project"), Ground(root / "side")
        main.br3("hooks", "uninstall")
        hook = root / "project/.git/hooks/pre-commit"
        hook.parent.mkdir(exist_ok=True)
        elsewhere = root / "elsewhere"
        elsewhere.mkdir()
        hook.write_text(WRECKER.format(elsewhere=elsewhere))
        hook.chmod(0o755)
        if name == "with":
            main.br3("hooks", "install")
        side.stage()
        said = side.call("commit", "--message", "change")
        config = (root / "project/.git/config").read_text()
        log = side.call("log", "--format=%s", "side").out
        found.append((said.code, "bare = true" in config, log))
    assert found[0] == found[1]


def test_set_up_and_tests_do_not_see_git_s_variables(spot: Ground, there: Ground, tmp_path: Path) -> None:
    spot.record()
    seen = tmp_path / "seen"
    program = script(
        tmp_path / "suite",
        "seen.py",
        f"import os\nopen({os.fspath(seen)!r}, 'w').write(' '.join(k for k in os.environ if k.startswith('GIT_')))\n",
    )
    plan_with(spot, making("made"), program)
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")
    shown = set(seen.read_text().split())
    assert not shown & {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_AUTHOR_DATE"}


@pytest.mark.parametrize("locale", [None, "C.UTF-8"])
def test_commands_see_the_users_locale(
    spot: Ground, there: Ground, monkeypatch: pytest.MonkeyPatch, locale: str | None
) -> None:
    if locale:
        monkeypatch.setenv("LC_ALL", locale)
    else:
        monkeypatch.delenv("LC_ALL")
    spot.record()
    plan_with(spot, f'test "${{LC_ALL-none}}" = {locale or "none"}')
    spot.git("push", "--quiet", "there", "HEAD:refs/heads/x")
