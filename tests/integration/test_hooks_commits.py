"""Commits that hooks have seen, in the analytics: each once, with what it changed, whatever became of it."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from tests.conftest import Scratch


def commits(repo: Scratch) -> list[dict[str, Any]]:
    said = repo.br3("sql", "--json", 'SELECT * FROM commits ORDER BY "commit"').json
    return [dict(zip(said["columns"], row, strict=True)) for row in said["rows"]]


def written(repo: Scratch, text: str, message: str, cwd: Path | None = None) -> str:
    repo.write("notes.txt", text, root=cwd)
    return repo.commit(message, cwd=cwd)


def test_a_commit_is_counted_once_with_its_files_and_lines(repo: Scratch) -> None:
    repo.br3("hooks", "install")
    repo.write("a.txt", "one\ntwo\n")
    repo.write("b.bin", "\0\1\2")
    first = repo.commit("first")
    repo.write("a.txt", "one\nthree\nfour\n")
    second = repo.commit("second")
    found = {c["commit"]: c for c in commits(repo)}
    assert set(found) == {first, second}
    facts = ("how", "branch", "worktree", "files", "lines_added", "lines_removed", "replaced_by")
    assert [found[first][f] for f in facts] == ["commit", "main", None, 2, 2, 0, None]
    assert [found[second][f] for f in facts] == ["commit", "main", None, 1, 2, 1, None]


def test_what_was_amended_or_rebased_is_there_with_what_took_its_place(repo: Scratch) -> None:
    written(repo, "0\n", "base")
    repo.br3("hooks", "install")
    repo.git("switch", "--quiet", "--create", "topic")
    first = written(repo, "0\n1\n", "first")
    repo.git("commit", "--quiet", "--amend", "--message", "better")
    amended = repo.git("rev-parse", "HEAD")
    repo.git("switch", "--quiet", "main")
    repo.write("other.txt", "x\n")
    repo.commit("other")
    repo.git("rebase", "--quiet", "main", "topic")
    rebased = repo.git("rev-parse", "topic")
    found = {c["commit"]: c for c in commits(repo)}
    assert found[first]["replaced_by"] == amended
    assert found[amended]["replaced_by"] == rebased
    assert found[rebased]["replaced_by"] is None
    assert found[rebased]["branch"] == "topic"
    assert len(found) == 4


def test_merges_are_counted_and_steps_forward_are_not(repo: Scratch) -> None:
    written(repo, "0\n", "base")
    repo.br3("hooks", "install")
    repo.git("switch", "--quiet", "--create", "topic")
    topic = written(repo, "0\n1\n", "topic")
    repo.git("switch", "--quiet", "main")
    repo.git("merge", "--quiet", "--ff-only", "topic")
    assert {c["commit"] for c in commits(repo)} == {topic}
    repo.git("switch", "--quiet", "topic")
    written(repo, "0\n1\n2\n", "more")
    repo.git("switch", "--quiet", "main")
    repo.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    merge = repo.git("rev-parse", "HEAD")
    found = {c["commit"]: c for c in commits(repo)}
    assert found[merge]["how"] == "merge"
    assert len(found) == 3


def test_a_commit_in_a_build_s_worktree_is_the_build_s(repo: Scratch, tmp_path: Path) -> None:
    written(repo, "0\n", "base")
    repo.br3("hooks", "install")
    place = tmp_path / "ünder way"
    repo.git("worktree", "add", "--quiet", "-b", 'feature/ü "x"'.replace(" ", "-"), str(place))
    git_dir = Path(repo.git("rev-parse", "--absolute-git-dir", cwd=place))
    (git_dir / "br3-build").write_text("run=20261122-104501-a3f2\nbuild=storage\n")
    os.environ |= {"BR3_RUN": "20261122-104501-a3f2", "BR3_BUILD": "storage", "BR3_TASK": "S.1"}
    try:
        made = written(repo, "0\n1\n", "work", place)
    finally:
        for name in ("BR3_RUN", "BR3_BUILD", "BR3_TASK"):
            del os.environ[name]
    (found,) = commits(repo)
    assert (found["commit"], found["build"], found["task"]) == (made, "storage", "S.1")
    assert found["branch"] == 'feature/ü-"x"'
    trailers = repo.git("log", "-1", "--format=%(trailers)", cwd=place).split("\n")
    assert trailers[:3] == ["Br3-Run: 20261122-104501-a3f2", "Br3-Build: storage", "Br3-Task: S.1"]


def test_a_rebuild_knows_what_git_has_forgotten(repo: Scratch) -> None:
    written(repo, "0\n", "base")
    repo.br3("hooks", "install")
    written(repo, "0\n1\n", "first")
    repo.git("commit", "--quiet", "--amend", "--message", "better")
    before = commits(repo)
    assert len(before) == 2 and all(c["lines_added"] == 1 for c in before)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    repo.br3("db", "rebuild")
    assert commits(repo) == before


def test_an_event_without_a_real_commit_keeps_none_of_the_others_from_being_measured(repo: Scratch) -> None:
    repo.br3("hooks", "install")
    for odd in ("--all", "main", "-x"):
        repo.br3("telemetry", "emit", "hook.commit", "--data", json.dumps({"commit": odd}))
    made = written(repo, "0\n", "first")
    found = {c["commit"]: c["lines_added"] for c in commits(repo)}
    assert found == {"--all": None, "main": None, "-x": None, made: 1}


def test_events_as_csv_have_their_data_as_json(repo: Scratch) -> None:
    repo.br3("hooks", "install")
    made = written(repo, "0\n", "first")
    rows = list(csv.DictReader(repo.br3("telemetry", "events", "--kind", "hook.commit", "--csv").out.splitlines()))
    assert [json.loads(row["data"])["commit"] for row in rows] == [made]
