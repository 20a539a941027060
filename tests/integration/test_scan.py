"""The guard with real git: what is staged in every form, ranges, whole trees, the ways out, what is printed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from br3.guard import check, start, trees
from br3.guard.findings import Outcome
from br3.guard.settings import Settings
from br3.secrets import matching
from br3.secrets.examples import fill
from br3.secrets.rules import RULES
from tests.conftest import Said, Scratch

CHECKOUT = Path(check.__file__).parent.parent.parent
TOKEN = fill("ghp_<<a36>>", Random(1))
OTHER = fill("sk-ant-api03-<<w93>>AA", Random(2))


def scan(repo: Scratch, *words: str, code: int = 0, cwd: Path | None = None, env: dict[str, str] | None = None) -> Said:
    """``br3 scan WORDS``."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "br3", "scan", *words],
        cwd=cwd or repo.path,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    said = Said(done.returncode, done.stdout, done.stderr)
    assert said.code == code, f"{words} → {said.code}\n{said.all}"
    assert TOKEN not in said.all and OTHER not in said.all
    return said


def places(said: Said) -> list[tuple[str, int, str]]:
    return [(f["file"], f["line"], f["rule"]) for f in said.json["findings"]]


def staged(repo: Scratch, *, code: int = 1, **more: Any) -> list[tuple[str, int, str]]:
    return places(scan(repo, "--staged", "--json", code=code, **more))


def started(repo: Scratch, *words: str, code: int, given: str = "", env: dict[str, str] | None = None) -> str:
    """What the hooks' entry tells on standard error."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", start.__file__, *words],
        cwd=repo.path,
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout + done.stderr


def hook(repo: Scratch, name: str = "pre-commit") -> Path:
    """A pre-commit hook that runs the guard and keeps its events outside of the repository."""
    report = repo.path.parent / "report"
    path = repo.path / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -I -S '{start.__file__}' staged --hook pre-commit --journal '{report}'\n"
    )
    path.chmod(0o755)
    return report


def reported(report: Path) -> list[dict[str, Any]]:
    """The events that a hook wrote, each on a line of its own between empty ones."""
    return [json.loads(line) for line in report.read_text().splitlines() if line] if report.exists() else []


# --- what is staged


def test_only_added_lines_count_with_their_numbers_in_the_new_file(repo: Scratch) -> None:
    repo.write("a.txt", f"{OTHER}\n" + "line\n" * 20)
    repo.commit()
    repo.write("a.txt", f"new\n{OTHER}\n" + "line\n" * 20 + f"last {TOKEN}\n")
    repo.git("add", ".")
    assert staged(repo) == [("a.txt", 23, "github")]


def test_what_is_not_staged_does_not_count_and_what_is_counts_whatever_lies_in_the_worktree(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", "a.txt")
    repo.write("a.txt", "clean\n")
    repo.write("README.md", f"{OTHER}\n")
    assert staged(repo) == [("a.txt", 1, "github")]
    repo.git("add", "a.txt")
    assert staged(repo, code=0) == []


NAMES = [
    "with space.txt",
    "\"quotes\" 'and'.txt",
    "new\nline.txt",
    "tab\t.txt",
    "é✓.txt",
    "-dash.txt",
    ":(top)x.txt",
    "a/@@ -1 +1 @@",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_told_as_they_are(repo: Scratch, name: str) -> None:
    repo.write(name, f"x\n{TOKEN}\n")
    repo.git("add", "--all")
    assert staged(repo) == [(name, 2, "github")]
    assert [place for place, *_ in places(scan(repo, "--json", code=1))] == [name]


def test_names_that_are_no_text_are_told(repo: Scratch) -> None:
    name = b"lone\xff.txt"
    try:
        with open(os.path.join(os.fsencode(repo.path), name), "w") as file:
            file.write(f"{TOKEN}\n")
    except OSError:
        pytest.skip("the file system takes text only")
    repo.git("add", "--all")
    assert staged(repo) == [(os.fsdecode(name), 1, "github")]
    assert "lone" in scan(repo, "--staged", code=1).out
    assert json.loads(scan(repo, "--staged", "--sarif", code=1).out)["version"] == "2.1.0"


SETTINGS = [
    "diff.noprefix=true", "diff.mnemonicPrefix=true", "diff.srcPrefix=x/", "color.ui=always", "color.diff=always",
    "diff.colorMoved=zebra", "diff.wsErrorHighlight=all", "diff.external=false", "diff.context=9",
    "diff.interHunkContext=9", "diff.renames=copies", "diff.renames=false", "diff.orderFile=/nowhere",
    "diff.relative=true",
    "diff.ignoreSubmodules=none", "diff.submodule=log", "diff.suppressBlankEmpty=true", "diff.algorithm=histogram",
    "core.quotePath=false", "core.pager=false", "diff.statNameWidth=1", "core.bigFileThreshold=1",
    "diff.trustExitCode=true",
]  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_the_user_s_hides_a_line(repo: Scratch, setting: str) -> None:
    repo.write("old name.txt", "one\n\ntwo\n" * 9 + f"{OTHER}\n")
    repo.write("sub/x.txt", "x\n")
    repo.commit()
    repo.git("mv", "old name.txt", "new name.txt")
    repo.write("new name.txt", "one\n\ntwo\n" * 8 + f"{TOKEN}\none\n\ntwo\n{OTHER}\n")
    repo.write("zero.txt", f"{OTHER}\n")
    repo.git("add", "--all")
    key, value = setting.split("=", 1)
    repo.git("config", key, value)
    expected = [("new name.txt", 25, "github"), ("zero.txt", 1, "anthropic")]
    assert staged(repo) == expected
    assert staged(repo, cwd=repo.path / "sub") == expected
    said = started(Scratch(repo.path / "sub"), "staged", code=1)
    assert "new name.txt:25" in said and "zero.txt:1" in said
    repo.git("config", "--unset", key)
    repo.commit()
    repo.git("config", key, value)
    assert places(scan(repo, "--range", "HEAD~1..HEAD", "--json", code=1)) == expected


@pytest.mark.parametrize(
    "variable", ["GIT_EXTERNAL_DIFF=false", "GIT_DIFF_OPTS=--unified=9", "GIT_LITERAL_PATHSPECS=1"]
)
def test_no_variable_of_git_s_hides_a_line(repo: Scratch, variable: str) -> None:
    repo.write("a.txt", "one\n" * 9 + f"{TOKEN}\n" + "two\n" * 9)
    repo.git("add", "--all")
    name, value = variable.split("=", 1)
    assert staged(repo, env={name: value}) == [("a.txt", 10, "github")]


@pytest.mark.parametrize("attribute", ["-diff", "binary", "diff=own", "-text", "export-ignore", "linguist-generated"])
def test_no_attribute_hides_a_file(repo: Scratch, attribute: str) -> None:
    repo.write(".gitattributes", f"* {attribute}\n")
    repo.git("config", "diff.own.textconv", "false")
    repo.git("config", "diff.own.command", "false")
    repo.git("config", "diff.own.binary", "true")
    repo.write("a.txt", f"one\n{TOKEN}\n")
    repo.git("add", "--all")
    assert staged(repo) == [("a.txt", 2, "github")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-8-sig"])
def test_other_encodings_are_read(repo: Scratch, encoding: str) -> None:
    (repo.path / "a.txt").write_bytes(f"one\ntwo {TOKEN}\n".encode(encoding))
    (repo.path / "nul.txt").write_bytes(b"\0\n" + TOKEN.encode() + b"\0\n")
    repo.git("add", "--all")
    assert staged(repo) == [("a.txt", 2, "github"), ("nul.txt", 2, "github")]
    assert places(scan(repo, "--json", code=1)) == [("a.txt", 2, "github"), ("nul.txt", 2, "github")]


def test_text_that_looks_like_a_patch_is_read_as_text(repo: Scratch) -> None:
    text = f"@@ -1 +1 @@\n+++ b/x\ndiff --git a/x b/x\n--- a/x\n:100644 100644 0 0 A\n{TOKEN}\n\\ No newline"
    repo.write("a.txt", "old\n@@ -9 +9 @@")
    repo.commit()
    repo.write("a.txt", text)
    repo.write("b.txt", f"{OTHER}")
    repo.git("add", "--all")
    assert staged(repo) == [("a.txt", 6, "github"), ("b.txt", 1, "anthropic")]


def test_on_an_unborn_branch_everything_is_added(tmp_path: Path) -> None:
    repo = Scratch(tmp_path / "new")
    repo.path.mkdir()
    repo.git("init", "--quiet")
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", ".")
    assert staged(repo) == [("a.txt", 1, "github")]


def test_links_submodules_modes_and_deletions_have_no_lines(repo: Scratch) -> None:
    repo.write("gone.txt", f"{TOKEN}\n")
    repo.write("run.sh", f"{TOKEN}\n")
    repo.write("becomes-link", f"{TOKEN}\n")
    repo.commit()
    inner = Scratch(repo.path.parent / "inner")
    inner.path.mkdir()
    inner.git("init", "--quiet")
    inner.write("a", f"{TOKEN}\n")
    inner.commit()
    repo.git("submodule", "--quiet", "add", str(inner.path), "sub")
    repo.git("rm", "--quiet", "gone.txt")
    (repo.path / "run.sh").chmod(0o755)
    (repo.path / "becomes-link").unlink()
    (repo.path / "becomes-link").symlink_to("README.md")
    (repo.path / "link").symlink_to(TOKEN)
    (repo.path / "empty").touch()
    repo.write("zz.txt", f"{OTHER}\n")
    repo.git("add", "--all")
    assert staged(repo) == [("zz.txt", 1, "anthropic")]
    assert places(scan(repo, "--json", code=1)) == [("run.sh", 1, "github"), ("zz.txt", 1, "anthropic")]


def test_a_link_that_becomes_a_file_has_its_lines(repo: Scratch) -> None:
    (repo.path / "a").symlink_to("README.md")
    repo.commit()
    (repo.path / "a").unlink()
    repo.write("a", f"one\n{TOKEN}\n")
    repo.write("b", f"{OTHER}\n")
    repo.git("add", "--all")
    assert staged(repo) == [("a", 2, "github"), ("b", 1, "anthropic")]


def test_an_unmerged_file_does_not_confuse_the_others(repo: Scratch) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.write("README.md", "side\n")
    repo.commit()
    repo.git("switch", "--quiet", "main")
    repo.write("README.md", "main\n")
    repo.commit()
    repo.git("merge", "side", check=False)
    repo.write("z.txt", f"{TOKEN}\n")
    repo.git("add", "z.txt")
    assert staged(repo) == [("z.txt", 1, "github")]


# --- as a hook


def commits(repo: Scratch, *words: str, code: int) -> str:
    done = subprocess.run(["git", "commit", "-m", "x", *words], cwd=repo.path, capture_output=True, text=True)
    assert (done.returncode != 0) == bool(code), done.stderr
    assert TOKEN not in done.stderr
    return done.stderr


def test_a_commit_of_all_is_scanned_though_nothing_was_staged(repo: Scratch) -> None:
    hook(repo)
    repo.write("README.md", f"{TOKEN}\n")
    assert "README.md:1" in commits(repo, "--all", code=1)


def test_a_partial_commit_is_scanned_for_its_part(repo: Scratch) -> None:
    repo.write("a.txt", "a\n")
    repo.write("b.txt", "b\n")
    repo.commit()
    hook(repo)
    repo.write("a.txt", f"{TOKEN}\n")
    repo.write("b.txt", "clean\n")
    repo.git("add", "a.txt")
    commits(repo, "--", "b.txt", code=0)
    assert "a.txt:1" in commits(repo, "--", "a.txt", code=1)


def test_a_commit_in_a_linked_worktree_and_below_its_root_is_scanned(repo: Scratch) -> None:
    hook(repo)
    repo.git("worktree", "add", "--quiet", str(repo.path.parent / "other"), "-b", "other")
    other = Scratch(repo.path.parent / "other")
    other.write("deep/er/a.txt", f"{TOKEN}\n")
    other.git("add", ".")
    below = Scratch(other.path / "deep")
    assert "deep/er/a.txt:1" in commits(below, code=1)
    assert staged(below) == [("deep/er/a.txt", 1, "github")]


def test_a_file_that_is_not_on_disk_in_a_sparse_checkout_is_scanned(repo: Scratch) -> None:
    repo.write("out/a.txt", "a\n")
    repo.write("in/b.txt", "b\n")
    repo.commit()
    repo.git("sparse-checkout", "set", "in")
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=repo.path, input=TOKEN, capture_output=True, text=True, check=True
    ).stdout.strip()
    repo.git("update-index", "--cacheinfo", f"100644,{blob},out/a.txt")
    assert not (repo.path / "out").exists()
    assert staged(repo) == [("out/a.txt", 1, "github")]


def test_the_entry_tells_what_to_do_and_stops_from_a_severity_on(repo: Scratch) -> None:
    repo.write("a.py", 'cur.execute(f"SELECT * FROM {table}")\n')
    repo.git("add", ".")
    said = started(repo, "staged", code=0)
    assert "note: a.py:1" in said and "stopped" not in said
    settings = repo.write("../guard.json", '{"schema": 1, "fail_on": "low"}')
    said = started(repo, "staged", "--settings", str(settings), code=1)
    assert "BR3_SKIP=sql-injection" in said and "parameters" in said


def test_the_entry_looks_at_branch_and_ground(repo: Scratch) -> None:
    told = {"schema": 1, "protect": ["main", "release/*"], "owns": {"one": ["/core(?:/[^/]+)*"]}}
    settings = str(repo.write("../guard.json", json.dumps(told)))
    repo.write("core/a.txt", "a\n")
    repo.git("add", ".")
    started(repo, "staged", "--settings", settings, "--branch", "work", "--build", "one", code=0)
    assert "protected-branch" in started(repo, "staged", "--settings", settings, "--branch", "release/1", code=1)
    assert "protected-branch" in started(repo, "branch", "--settings", settings, "--branch", "main", code=1)
    started(repo, "branch", "--settings", settings, "--branch", "main", code=0, env={"BR3_SKIP": "protected-branch"})
    repo.git("mv", "README.md", "core/README.md")
    said = started(repo, "staged", "--settings", settings, "--build", "one", code=1)
    assert "README.md  high" in said and "core/" not in said


def test_another_commit_of_a_submodule_is_a_change_of_its_path(repo: Scratch) -> None:
    settings = str(repo.write("../guard.json", '{"schema": 1, "owns": {"one": ["/core"]}}'))
    repo.git("config", "diff.ignoreSubmodules", "all")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.head()},sub")
    assert "sub  high    ownership" in started(repo, "staged", "--settings", settings, "--build", "one", code=1)


def test_of_a_merge_being_committed_only_what_it_adds_itself_counts(repo: Scratch) -> None:
    repo.write("a.txt", "one\n")
    repo.commit("base")
    repo.git("switch", "--quiet", "--create", "other")
    repo.write("a.txt", "two\n")
    repo.write("theirs.txt", f"t = {TOKEN}\n")
    merging = repo.commit("theirs")
    repo.git("switch", "--quiet", "main")
    repo.write("a.txt", "three\n")
    repo.commit("ours")
    repo.git("merge", "other", check=False)
    repo.write("a.txt", f"both\nkey = {OTHER}\n")
    repo.git("add", "a.txt")
    assert started(repo, "staged", code=1).count("theirs.txt") == 1
    said = started(repo, "staged", "--merging", merging, code=1)
    assert "theirs.txt" not in said and "a.txt:2" in said


def test_the_entry_scans_the_commits_that_it_is_given(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    bad = repo.commit()
    repo.write("a.txt", "clean\n")
    good = repo.commit()
    assert f"{bad[:10]} a.txt:1" in started(repo, "commits", given=f"{good}\n{bad}\n", code=1)
    started(repo, "commits", given=f"{good}\n", code=0)
    started(repo, "commits", given="", code=0)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nothing",),
        ("staged", "--unknown"),
        ("staged", "--settings", "missing.json"),
        ("commits",),
    ],
)
def test_an_entry_that_cannot_look_says_so_in_one_line(repo: Scratch, words: tuple[str, ...]) -> None:
    said = started(repo, *words, code=2, given="0123456789" * 4)
    ours = [line for line in said.splitlines() if not line.startswith("fatal:")]
    assert len(ours) == 1 and ours[0].startswith("br3: the guard could not look: ")


def test_an_entry_whose_guard_is_incomplete_says_so_in_one_line(repo: Scratch, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "br3"
    shutil.copytree(Path(start.__file__).parent.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "guard" / "settings.py").unlink()
    command = [sys.executable, "-I", "-S", str(copy / "guard" / "start.py"), "staged"]
    done = subprocess.run(command, cwd=repo.path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot be loaded" in done.stderr and done.stderr.count("\n") == 1


def test_outside_of_a_repository_the_entry_cannot_look(tmp_path: Path) -> None:
    assert "could not look" in started(Scratch(tmp_path), "staged", code=2)


def test_the_entry_lists_words_for_grep_of_which_every_secret_has_one(repo: Scratch) -> None:
    words = started(repo, "keywords", code=0).split("\n")
    assert "ghp_" in words and "<<<<<<<" in words and "" in words[-1:]
    assert all(word == word.lower() for word in words)


# --- other findings of what is staged


def test_sql_is_told_on_added_lines_though_the_whole_file_is_read(repo: Scratch) -> None:
    code = 'def one(cur, key):\n    cur.execute(f"SELECT * FROM t WHERE a = {key}")\n'
    repo.write("a.py", code)
    repo.commit()
    repo.write("a.py", code + '    query = f"DELETE FROM t WHERE a = {key}"\n    cur.execute(query)\n')
    repo.git("add", ".")
    assert staged(repo) == [("a.py", 3, "sql-injection")]


def test_a_new_file_is_read_from_the_diff_alone(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from br3.guard import staged as staging
    from br3.guard.plumbing import Objects

    asked: list[str] = []
    content = Objects.content
    monkeypatch.setattr(Objects, "content", lambda objects, name: asked.append(name) or content(objects, name))
    repo.write("a.py", 'cur.execute(f"SELECT * FROM t WHERE a = {key}")\n')
    repo.git("add", ".")
    found = staging.scan(Settings(), directory=str(repo.path)).findings
    assert [(f.file, f.line, f.rule) for f in found] == [("a.py", 1, "sql-injection")]
    assert asked == []


def test_of_a_file_that_is_new_in_a_merge_all_is_read_for_sql(repo: Scratch) -> None:
    code = "def one(cur, key):\n    cur.execute(\n        {}\n    )\n"
    for branch, text in (("one", "'SELECT 1'"), ("two", "'SELECT 2'")):
        repo.git("switch", "--quiet", "--create", branch, "main")
        repo.write("a.py", code.format(text))
        repo.commit()
    repo.git("merge", "one", check=False)
    repo.write("a.py", code.format('f"SELECT * FROM t WHERE a = {key}"'))
    merge = repo.commit()
    assert f"{merge[:10]} a.py:3" in started(repo, "commits", given=f"{merge}\n", code=1)


def test_conflict_markers_and_large_files_are_told(repo: Scratch) -> None:
    repo.write("a.txt", "<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> side\n")
    with open(repo.path / "large.bin", "wb") as file:
        file.truncate(5 * 2**20)
    with open(repo.path / "just.bin", "wb") as file:
        file.truncate(5 * 2**20 - 1)
    repo.git("add", ".")
    expected = [("a.txt", 1, "conflict-marker"), ("a.txt", 5, "conflict-marker"), ("large.bin", 0, "file-size")]
    assert staged(repo) == expected
    repo.commit()
    said = scan(repo, "--range", "HEAD~1..HEAD", "--json", code=1)
    assert places(said) == expected
    repo.write("larger.txt", "x" * (5 * 2**20 + 1))
    said = scan(repo, "--json", code=1)
    assert places(said) == expected[:2]
    assert said.json["skipped_by"] == {"large": 1, "binary": 2}


def sized(repo: Scratch, most: int) -> tuple[str, ...]:
    settings = repo.write("../guard.json", json.dumps({"schema": 1, "max_bytes": most}))
    return ("staged", "--settings", str(settings))


def test_a_small_edit_of_a_file_that_is_large_already_is_no_finding(repo: Scratch) -> None:
    lines = [f"line {number} " + "x" * 40 for number in range(200)]
    repo.write("large.txt", "\n".join(lines))
    repo.commit()
    lines[100] = f"edited {TOKEN}"
    repo.write("large.txt", "\n".join(lines))
    repo.git("mv", "large.txt", "moved.txt")
    repo.git("add", ".")
    said = started(repo, *sized(repo, 1000), code=1)
    assert "moved.txt:101" in said and "file-size" not in said


def test_what_one_commit_adds_to_a_large_file_counts_with_the_ends_of_its_lines(repo: Scratch) -> None:
    repo.write("large.txt", "old\n" * 500)
    repo.commit()
    repo.write("large.txt", "old\n" * 500 + "123456789\n" * 100)
    repo.git("add", ".")
    assert "file-size" in started(repo, *sized(repo, 999), code=1)
    started(repo, *sized(repo, 1000), code=0)
    started(repo, *sized(repo, 0), code=0)


def test_the_size_of_a_diff_is_above_that_of_what_it_adds(repo: Scratch) -> None:
    """What the hooks' sh goes by: where the diff is small, no file adds much."""
    for number, text in enumerate(("\n" * 700, "x" * 698, "y" * 700, "a\nb" * 300, "é\r\n" * 200)):
        repo.write("a.txt", text)
        repo.git("add", ".")
        printed = subprocess.run(["git", "diff", "--cached", "-U0", "--text"], cwd=repo.path, capture_output=True)
        told = started(repo, *sized(repo, 699), code=0 if number == 1 else 1)
        assert ("file-size" in told) <= (len(printed.stdout) > 699), text


def test_a_secret_in_a_file_that_is_over_the_size_is_told_as_well(repo: Scratch) -> None:
    repo.write("large.txt", "x\n" * 600 + TOKEN)
    repo.git("add", ".")
    said = started(repo, *sized(repo, 1000), code=1)
    assert "file-size" in said and "large.txt:601" in said


def test_a_diff_that_is_too_large_to_read_at_once_is_read_without_its_large_files(
    repo: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from br3.guard import changed
    from br3.guard import commits as committed
    from br3.guard import staged as staging

    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    monkeypatch.setattr(changed, "MOST_BYTES", 1000)
    repo.write("large\n[x]*.txt", f"{OTHER}\n" * 100)
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", ".")
    settings = Settings(max_bytes=5000)

    def told(outcome: Outcome) -> list[tuple[str, str]]:
        return [(finding.file, finding.rule) for finding in outcome.findings]

    expected = [("a.txt", "github"), ("large\n[x]*.txt", "file-size")]
    assert told(staging.scan(settings, directory=str(repo.path))) == expected
    commit = repo.commit()
    assert told(committed.scan([commit], settings, directory=str(repo.path))) == expected
    repo.write("large\n[x]*.txt", f"{OTHER}\n" * 50 + f"{TOKEN}\n" + f"{OTHER}\n" * 50)
    repo.write("b.txt", "x\n" * 500)
    repo.write("c.txt", f"{'y' * 70}\n" * 10 + f"{OTHER}\n")
    repo.git("rm", "--quiet", "a.txt")
    repo.git("add", ".")
    expected = [("c.txt", "anthropic"), ("large\n[x]*.txt", "github")]
    assert told(staging.scan(settings, directory=str(repo.path))) == expected
    commit = repo.commit()
    assert told(committed.scan([commit], settings, directory=str(repo.path))) == expected


# --- the ways out


def test_a_comment_lets_a_finding_pass_and_is_told(repo: Scratch) -> None:
    repo.write(
        "a.py", f'x = "{TOKEN}"  # br3-allow: github\n# for a test, br3-allow: github\ny = "{TOKEN}"\nz = "{TOKEN}"\n'
    )
    repo.git("add", ".")
    said = scan(repo, "--staged", "--json", code=1)
    assert places(said) == [("a.py", 4, "github")]
    assert [(a["line"], a["by"]) for a in said.json["allowed"]] == [(1, "comment"), (2 + 1, "comment")]


def test_a_comment_above_counts_though_it_was_there_before(repo: Scratch) -> None:
    repo.write("a.py", "# br3-allow: github\nx = 1\n")
    repo.commit()
    repo.write("a.py", f"# br3-allow: github\nx = '{TOKEN}'\n")
    repo.git("add", ".")
    assert staged(repo, code=0) == []


def test_a_rule_is_skipped_for_one_command(repo: Scratch) -> None:
    report = hook(repo)
    repo.write("a.txt", f"{TOKEN}\n{OTHER}\n")
    repo.git("add", ".")
    commits(repo, code=1)
    found = {(r["kind"], r["data"]["hook"], r["data"]["rule"]) for r in reported(report)}
    assert found == {("security.violation", "pre-commit", rule) for rule in ("github", "anthropic")}
    assert all(TOKEN not in json.dumps(r) and OTHER not in json.dumps(r) for r in reported(report))
    report.unlink()
    os.environ["BR3_SKIP"] = "github,anthropic"
    try:
        commits(repo, code=0)
    finally:
        del os.environ["BR3_SKIP"]
    assert {r["kind"] for r in reported(report)} == {"hook.allowed"}
    told = [r["data"] for r in reported(report)]
    assert {(r["use"], r["rule"], r["file"], r["line"]) for r in told} == {
        ("skip", "github", "a.txt", 1),
        ("skip", "anthropic", "a.txt", 2),
    }


def test_files_of_a_glob_are_not_looked_at_and_that_is_told(repo: Scratch) -> None:
    settings = repo.write(".git/br3/hooks/guard.json", '{"schema": 1, "ignore": ["/vendor(?:/[^/]+)*"]}')
    repo.write("vendor/a/b.txt", f"{TOKEN}\n")
    repo.git("add", ".")
    report = repo.path.parent / "report"
    started(repo, "staged", "--settings", str(settings), "--journal", str(report), code=0)
    assert [r["data"] for r in reported(report)] == [{"hook": "", "use": "ignore", "file": "vendor/a/b.txt"}]
    for words in (("--staged",), ("--all",)):
        said = scan(repo, *words, "--json")
        assert said.json["findings"] == [] and said.json["skipped_by"] == {"ignored": 1}


def test_a_rule_that_is_off_finds_nothing(repo: Scratch) -> None:
    repo.write(".git/br3/hooks/guard.json", '{"schema": 1, "off": ["github"]}')
    repo.write("a.txt", f"{TOKEN}\n{OTHER}\n")
    assert places(scan(repo, "--json", code=1)) == [("a.txt", 2, "anthropic")]


def test_settings_that_are_broken_are_an_error_not_a_clean_bill(repo: Scratch) -> None:
    repo.write(".git/br3/hooks/guard.json", "{")
    assert "can't be read" in scan(repo, code=1).err


def test_what_the_baseline_has_is_not_told_again(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    assert "1 finding accepted" in scan(repo, "--update-baseline").out
    said = scan(repo, "--json")
    assert said.json["findings"] == [] and [a["by"] for a in said.json["allowed"]] == ["baseline"]
    repo.git("mv", "README.md", "b.txt")
    repo.write("b.txt", f"moved {TOKEN}\n{OTHER}\n")
    repo.git("add", "--all")
    assert staged(repo) == [("b.txt", 2, "anthropic")]


def test_what_is_staged_is_held_against_the_baseline_that_is_staged(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", "a.txt")
    scan(repo, "--staged", "--update-baseline")
    assert staged(repo) == [("a.txt", 1, "github")]
    repo.git("add", ".br3")
    assert staged(repo, code=0) == []


def test_a_scan_of_everything_takes_out_what_is_no_longer_found(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    repo.write("b.txt", f"{OTHER}\n")
    scan(repo, "--update-baseline")
    before = sorted(path.name for path in (repo.path / ".br3/baseline").iterdir())
    repo.write("b.txt", "clean\n")
    scan(repo, "a.txt", "--update-baseline")
    assert sorted(path.name for path in (repo.path / ".br3/baseline").iterdir()) == before
    assert "0 findings accepted, 1 taken out" in scan(repo, "--update-baseline").out
    scan(repo)


def test_branches_that_accept_findings_merge_without_a_conflict(repo: Scratch) -> None:
    for branch, text in (("one", f"{TOKEN}\n"), ("two", f"{TOKEN}\n{OTHER}\n")):
        repo.git("switch", "--quiet", "--create", branch, "main")
        repo.write(f"{branch}.txt", text)
        scan(repo, "--update-baseline")
        repo.commit()
    repo.git("merge", "--quiet", "--no-edit", "one")
    scan(repo)


# --- whole trees


def test_ignored_files_are_left_out_unless_they_are_named(repo: Scratch) -> None:
    repo.write(".gitignore", "*.log\n/build/\n")
    for name in ("a.log", "build/x.txt", "new.txt", "deep/b.log"):
        repo.write(name, f"{TOKEN}\n")
    assert places(scan(repo, "--json", code=1)) == [("new.txt", 1, "github")]
    assert places(scan(repo, "a.log", "--json", code=1)) == [("a.log", 1, "github")]
    assert scan(repo, "deep").code == 0


def test_paths_are_taken_from_where_one_is(repo: Scratch) -> None:
    repo.write("deep/a.txt", f"{TOKEN}\n")
    repo.write("b.txt", f"{OTHER}\n")
    assert places(scan(repo, "a.txt", "--json", code=1, cwd=repo.path / "deep")) == [("deep/a.txt", 1, "github")]
    assert places(scan(repo, ".", "--json", code=1, cwd=repo.path / "deep")) == [("deep/a.txt", 1, "github")]
    assert len(places(scan(repo, "--json", code=1, cwd=repo.path / "deep"))) == 2


def test_links_are_not_followed(repo: Scratch) -> None:
    outside = repo.path.parent / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text(f"{TOKEN}\n")
    (repo.path / "file").symlink_to(outside / "a.txt")
    (repo.path / "directory").symlink_to(outside)
    (repo.path / "dangling").symlink_to("nowhere")
    said = scan(repo, "--json")
    assert said.json["findings"] == [] and said.json["skipped_by"] == {"link": 3}


def test_a_file_that_was_deleted_or_cannot_be_read_does_not_stop_the_scan(repo: Scratch) -> None:
    repo.write("gone.txt", "x\n")
    repo.write("locked.txt", "x\n")
    repo.write("z.txt", f"{TOKEN}\n")
    repo.commit()
    (repo.path / "gone.txt").unlink()
    (repo.path / "locked.txt").chmod(0)
    assert places(scan(repo, "--json", code=1)) == [("z.txt", 1, "github")]


def test_without_git_nothing_is_scanned_that_was_not_named(tmp_path: Path) -> None:
    said = Scratch(tmp_path).br3("scan", code=2)
    assert "not in a git repository" in said.err and "br3 scan ." in said.err


def test_without_git_a_directory_is_walked(tmp_path: Path) -> None:
    plain = Scratch(tmp_path)
    plain.write("a/b.txt", f"{TOKEN}\n")
    assert places(scan(plain, "a", "--json", code=1)) == [("a/b.txt", 1, "github")]
    scan(plain, "--staged", code=2)


def test_several_processes_find_what_one_finds(repo: Scratch) -> None:
    for number in range(60):
        kind = (
            f"{TOKEN}\n",
            f"# br3-allow: anthropic\n{OTHER}\n",
            "clean\n",
            f'cur.execute("DELETE FROM t" + {"q"})\n',
        )
        repo.write(f"d{number % 7}/f{number}.py", kind[number % 4])
    (repo.path / "x.bin").write_bytes(b"\0\1\2" * 100)
    names = trees.files(repo.path)
    settings = Settings(ignore=("/d3(?:/[^/]+)*",))

    def facts(processes: int) -> tuple[Any, ...]:
        o = trees.scan(repo.path, names, settings, processes=processes)
        allowed = [(f.as_dict(), f.content, use) for f, use in o.allowed]
        return [(f.as_dict(), f.content) for f in o.findings], allowed, o.ignored, o.scanned, o.skipped, o.digests

    assert len(facts(1)[0]) > 10
    assert facts(1) == facts(2) == facts(5)


# --- ranges


def test_each_commit_of_a_range_is_looked_at_though_a_later_one_took_it_out(repo: Scratch) -> None:
    base = repo.head()
    repo.write("a.txt", f"{TOKEN}\n")
    bad = repo.commit()
    repo.write("a.txt", "clean\n")
    repo.commit()
    repo.write("b c.txt", f"x\n{OTHER}\n")
    worse = repo.commit()
    said = scan(repo, "--range", f"{base}..HEAD", "--json", code=1)
    found = [(f["commit"], f["file"], f["line"], f["rule"]) for f in said.json["findings"]]
    assert found == [(bad, "a.txt", 1, "github"), (worse, "b c.txt", 2, "anthropic")]
    assert scan(repo, "--range", f"{worse}..HEAD", "--json").json["scanned"] == 0


def test_a_range_may_begin_at_the_root(repo: Scratch) -> None:
    repo.git("checkout", "--quiet", "--orphan", "fresh")
    repo.write("a.txt", f"{TOKEN}\n")
    repo.commit()
    assert places(scan(repo, "--range", "HEAD", "--json", code=1)) == [("a.txt", 1, "github")]


def test_of_a_merge_only_what_it_added_itself_is_told(repo: Scratch) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.write("side.txt", f"{OTHER}\n")
    side = repo.commit()
    repo.git("switch", "--quiet", "main")
    repo.write("main.txt", "x\n")
    main = repo.commit()
    repo.git("merge", "--quiet", "--no-commit", "side")
    repo.write("main.txt", f"x\n{TOKEN}\n")
    repo.write("side.txt", f"{OTHER}\nx\n")
    merge = repo.commit()
    said = scan(repo, "--range", f"{main}..HEAD", "--json", code=1)
    found = [(f["commit"], f["file"], f["line"], f["rule"]) for f in said.json["findings"]]
    assert found == [(side, "side.txt", 1, "anthropic"), (merge, "main.txt", 2, "github")]


def test_a_merge_of_several_branches_is_held_against_all_of_them(repo: Scratch) -> None:
    for branch in ("one", "two", "three"):
        repo.git("switch", "--quiet", "--create", branch, "main")
        repo.write(f"{branch}.txt", f"{OTHER}\n")
        repo.commit()
    repo.git("merge", "--quiet", "--no-commit", "one", "two")
    repo.write("one.txt", f"{OTHER}\n{TOKEN}\n")
    repo.write("evil.txt", f"{TOKEN}\n")
    merge = repo.commit()
    assert len(repo.git("rev-list", "--parents", "--max-count=1", "HEAD").split()) == 4
    said = scan(repo, "--range", "HEAD^!", "--json", code=1)
    assert {(f["commit"], f["file"], f["line"]) for f in said.json["findings"]} == {
        (merge, "evil.txt", 1),
        (merge, "one.txt", 2),
    }


def test_a_merge_that_differs_in_many_files_is_read_in_portions(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from br3.guard import changed
    from br3.guard import commits as committed

    monkeypatch.setattr(changed, "PORTION_PATHS", 2)
    repo.git("switch", "--quiet", "--create", "side")
    repo.commit("side")
    repo.git("switch", "--quiet", "main")
    repo.commit("main")
    repo.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    for number in range(5):
        repo.write(f"{number}.txt", f"{TOKEN}\n")
    outcome = committed.scan([repo.commit()], Settings(), directory=str(repo.path))
    assert [finding.file for finding in outcome.findings] == [f"{number}.txt" for number in range(5)]


def test_a_commit_that_another_replaces_here_is_looked_at_itself(repo: Scratch) -> None:
    base = repo.head()
    repo.write("a.txt", f"{TOKEN}\n")
    bad = repo.commit()
    repo.write("a.txt", "clean\n")
    last = repo.commit()
    repo.git("replace", bad, base)
    repo.git("replace", last, repo.git("commit-tree", "HEAD^{tree}", "-p", base, "-m", "clean"))
    assert places(scan(repo, "--range", f"{base}..HEAD", "--json", code=1)) == [("a.txt", 1, "github")]
    assert "a.txt:1" in started(repo, "commits", given=f"{bad}\n", code=1)


def test_a_bare_repository_has_commits_to_scan_but_no_files(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    bad = repo.commit()
    bare = Scratch(repo.path.parent / "bare.git")
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(bare.path))
    assert places(scan(bare, "--range", "HEAD", "--json", code=1)) == [("a.txt", 1, "github")]
    assert "a.txt:1" in started(bare, "commits", given=f"{bad}\n", code=1)
    for words in ((), ("--staged",), ("--all",)):
        assert "no worktree" in scan(bare, *words, code=2).err


def test_what_is_only_intended_to_be_added_is_not_part_of_the_commit(repo: Scratch) -> None:
    repo.write("later.txt", f"{TOKEN}\n")
    repo.write("now.txt", f"{OTHER}\n")
    repo.git("add", "--intent-to-add", "later.txt")
    repo.git("add", "now.txt")
    assert staged(repo) == [("now.txt", 1, "anthropic")]


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\n"])
def test_lines_may_end_in_every_way(repo: Scratch, ends: str) -> None:
    lines = ["one", *(fill(text, Random(3)) for text in ("password: <<a14>>", 'api_key = "<<a20>>"')), f"x {TOKEN}", ""]
    (repo.path / "a.txt").write_bytes(ends.join(lines).encode())
    repo.git("add", ".")
    found = staged(repo)
    assert [rule for *_, rule in found] == ["generic-password", "generic-secret", "github"]
    assert [line for _, line, _ in found] == ([1, 1, 1] if ends == "\r" else [2, 3, 4])


def test_a_line_of_ten_megabytes_is_read_to_its_end(repo: Scratch) -> None:
    repo.write("a.js", "x;" * 5_000_000 + f" '{TOKEN}' // br3-allow: jwt")
    repo.git("add", ".")
    assert "a.js:1" in started(repo, *sized(repo, 0), code=1)
    repo.write("a.js", "x;" * 5_000_000 + f" '{TOKEN}' // br3-allow: github")
    repo.git("add", ".")
    started(repo, *sized(repo, 0), code=0)


def test_many_files_at_once_are_all_read(repo: Scratch) -> None:
    for number in range(3000):
        repo.write(f"d{number % 30}/{number}.py", f"x = {number}\n" if number % 1000 else f"x = '{TOKEN}'\n")
    repo.git("add", ".")
    expected = [(f"d{number % 30}/{number}.py", 1, "github") for number in (0, 1000, 2000)]
    assert staged(repo) == sorted(expected)


@pytest.mark.parametrize("skip", ["*", ",,,", "git hub", "git", "githubx", "../github", "github;jwt", "-github"])
def test_only_the_name_of_a_rule_skips_it(repo: Scratch, skip: str) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", ".")
    started(repo, "staged", code=1, env={"BR3_SKIP": skip})
    started(repo, "staged", code=0, env={"BR3_SKIP": f"{skip},\tGitHub\n"})


def test_findings_are_told_though_they_cannot_be_recorded(repo: Scratch) -> None:
    report = str(repo.path / "missing" / "report")
    repo.write("b.txt", f"{OTHER}  # br3-allow: anthropic\n")
    repo.git("add", ".")
    assert "could not be recorded" in started(repo, "staged", "--hook", "pre-commit", "--journal", report, code=0)
    repo.write("a.txt", f"{TOKEN}\n")
    repo.git("add", ".")
    said = started(repo, "staged", "--hook", "pre-commit", "--journal", report, code=1)
    assert "a.txt:1" in said and "could not be recorded" in said


def test_no_form_of_the_answer_has_a_secret_in_full(repo: Scratch) -> None:
    """Every true example of every rule in the worktree, the index and a commit; also in names that are no words."""
    random = Random(6)
    secrets = []
    for rule in RULES:
        for number, example in enumerate(rule.true):
            text = fill(example, random)
            secrets += [text.encode()[hit.start : hit.end].decode() for hit in matching.find(text.encode())]
            repo.write(f"{rule.id}-{number}.txt", f"{text}\n")
    statement = f"cur.execute(f\"SELECT '{secrets[0]}' FROM t WHERE a = {{key}}\")\n"
    repo.write("a.py", statement)
    repo.git("add", ".")
    report = repo.path.parent / "report"
    shown = started(repo, "staged", "--hook", "pre-commit", "--journal", str(report), code=1)
    shown += report.read_text()
    for words in (("--staged",), ("--all",)):
        shown += "".join(scan(repo, *words, *form, code=1).all for form in ((), ("--json",), ("--sarif",)))
    repo.commit()
    shown += "".join(scan(repo, "--range", "HEAD", *form, code=1).all for form in ((), ("--json",), ("--sarif",)))
    shown += scan(repo, "--update-baseline").all
    shown += "".join(path.read_text() for path in (repo.path / ".br3/baseline").iterdir())
    assert len(secrets) > 90
    assert [secret for secret in secrets if secret in shown or secret in json.loads(json.dumps(shown))] == []


def test_a_long_range_is_read_in_portions(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from br3.guard import commits as committed

    monkeypatch.setattr(committed, "_BATCH", 2)
    ids = []
    for number in range(5):
        repo.write("a.txt", f"{number}\n{TOKEN[:-2]}{number:02}\n")
        ids.append(repo.commit())
        if number == 2:
            ids.append(repo.commit("empty"))
    outcome = committed.scan(ids, Settings(), directory=str(repo.path))
    assert [finding.commit for finding in outcome.findings] == [i for n, i in enumerate(ids) if n != 3]


@pytest.mark.parametrize("revisions", ["nowhere..HEAD", "--all", "HEAD..", "a b"])
def test_a_range_that_names_nothing_is_wrong_usage(repo: Scratch, revisions: str) -> None:
    scan(repo, "--range", revisions, code=0 if revisions == "HEAD.." else 2)


# --- what is printed


def test_a_person_sees_place_rule_mask_and_what_to_do(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n{OTHER}\n")
    out = scan(repo, code=1).out
    assert "a.txt:1  github" in out and f"{TOKEN[:4]}…{TOKEN[-2:]}" in out
    assert "next: github, anthropic" in out and "br3-allow: RULE" in out
    assert out.splitlines()[-1] == "2 findings in 2 files"
    assert scan(repo, "README.md").out == "nothing found in 1 file\n"


def test_the_object_has_its_shape(repo: Scratch) -> None:
    repo.write("a.txt", f"{TOKEN}\n")
    data = scan(repo, "--json", code=1).json
    assert set(data) == {"schema", "findings", "scanned", "skipped", "skipped_by", "allowed"}
    (finding,) = data["findings"]
    assert set(finding) == {"file", "line", "rule", "severity", "masked", "fix"}
    assert data["scanned"] == 2 and data["skipped"] == 0


def test_sarif_has_what_its_specification_asks_for(repo: Scratch) -> None:
    repo.write("a b/é.txt", f"{TOKEN}\n")
    repo.write("b.py", f"x = '{OTHER}'  # br3-allow: anthropic\n")
    log = json.loads(scan(repo, "--sarif", code=1).out)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "br3" and [rule["id"] for rule in driver["rules"]] == ["anthropic", "github"]
    first, second = run["results"]
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "github"
    assert first["level"] == "error" and "suppressions" not in first
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%20b/%C3%A9.txt", "uriBaseId": "SRCROOT"}
    assert place["region"] == {"startLine": 1}
    assert second["suppressions"][0]["kind"] == "inSource"
    assert len(first["partialFingerprints"]["br3/v1"]) == 32


@pytest.mark.parametrize(
    "words",
    [("--staged", "--all"), ("--staged", "x"), ("--range", "a..b", "--all"), ("--json", "--sarif"), ("missing.txt",)],
)
def test_what_excludes_each_other_is_wrong_usage(repo: Scratch, words: tuple[str, ...]) -> None:
    scan(repo, *words, code=2)


def test_the_exit_code_counts_from_a_severity_on(repo: Scratch) -> None:
    repo.write("a.py", 'cur.execute(f"SELECT * FROM {table}")\n')
    scan(repo, code=1)
    assert "low" in scan(repo, "--fail-on", "medium").out


# --- gitleaks


@pytest.fixture
def gitleaks(tmp_path: Path) -> Callable[[list[dict[str, Any]]], dict[str, str]]:
    """A gitleaks that reports these findings and keeps how it was called."""

    def make(findings: list[dict[str, Any]]) -> dict[str, str]:
        directory = tmp_path / "bin"
        directory.mkdir()
        program = directory / "gitleaks"
        program.write_text(
            f"#!{sys.executable}\nimport sys\n"
            f"open({str(tmp_path / 'called')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
            f"open(sys.argv[sys.argv.index('--report-path') + 1], 'w').write({json.dumps(findings)!r})\n"
        )
        program.chmod(0o755)
        return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}

    return make


def test_gitleaks_adds_what_the_rules_do_not_find(
    repo: Scratch, tmp_path: Path, gitleaks: Callable[[list[dict[str, Any]]], dict[str, str]]
) -> None:
    repo.write("a.txt", f"{TOKEN}\nsomething\n")
    env = gitleaks([
        {"RuleID": "github-pat", "File": str(repo.path / "a.txt"), "StartLine": 1, "Secret": "REDACTED"},
        {"RuleID": "odd-key", "File": "a.txt", "StartLine": 2, "Secret": "REDACTED"},
        {"RuleID": "odd-key", "File": ".git/config", "StartLine": 2, "Secret": "REDACTED"},
    ])  # fmt: skip
    said = scan(repo, "--gitleaks", "--json", code=1, env=env)
    assert places(said) == [("a.txt", 1, "github"), ("a.txt", 2, "gitleaks-odd-key")]
    env["BR3_SKIP"] = "gitleaks-odd-key"
    assert places(scan(repo, "--gitleaks", "--json", code=1, env=env)) == [("a.txt", 1, "github")]
    del env["BR3_SKIP"]
    assert "detect --no-git" in (tmp_path / "called").read_text() and "--redact" in (tmp_path / "called").read_text()
    repo.git("add", ".")
    scan(repo, "--staged", "--gitleaks", code=1, env=env)
    assert "protect --staged" in (tmp_path / "called").read_text()


def test_gitleaks_that_is_not_there_is_said(repo: Scratch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    git = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin" / "git").symlink_to(git)
    assert "gitleaks is not on PATH" in scan(repo, "--gitleaks", code=2, env={"PATH": str(tmp_path / "bin")}).err


# --- this repository


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="not a checkout")
def test_this_repository_has_no_secret_and_no_conflict_marker() -> None:
    """Its examples are templates. Its SQL is put together from names of tables, which is another matter."""
    said = scan(Scratch(CHECKOUT), "--json", env={"BR3_SKIP": "sql-injection"})
    assert said.json["scanned"] > 100
    assert not [a for a in said.json["allowed"] if a["rule"] != "sql-injection"]
