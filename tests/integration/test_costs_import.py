"""``br3 costs import`` as a user calls it: transcripts beside a repository, its journal, its figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from br3.telemetry.journal import journal_dir
from tests.conftest import Scratch

DATA = Path(__file__).parents[1] / "data" / "transcripts" / "claude.jsonl"


@pytest.fixture
def transcript(repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session of Claude Code in the repository's main worktree."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    file = tmp_path / "claude" / "projects" / "-somewhere" / "session.jsonl"
    file.parent.mkdir(parents=True)
    lines = [json.loads(line) for line in DATA.read_text().splitlines()]
    file.write_text(
        "".join(json.dumps({**line, "cwd": str(repo.path)}, separators=(",", ":")) + "\n" for line in lines)
    )
    return file


def test_a_session_of_one_s_own_is_counted_once_however_often_it_is_imported(repo: Scratch, transcript: Path) -> None:
    first = repo.br3("costs", "import", "--json").json
    assert first["messages"] > 0 and first["files_read"] == 1
    total = repo.br3("costs", "--json").json
    assert total["total_usd"] is not None and total["output_tokens"] > 0
    assert "nothing is new" in repo.br3("costs", "import").out
    (repo.common_dir / "br3" / "imports.json").unlink()  # what was read is forgotten: it is read again
    assert repo.br3("costs", "import", "--json").json["messages"] == first["messages"]
    assert repo.br3("costs", "--json").json == total
    repo.br3("db", "rebuild")
    assert repo.br3("costs", "--json").json == total


def test_what_was_imported_stays_when_the_transcript_is_gone(repo: Scratch, transcript: Path) -> None:
    repo.br3("costs", "import")
    total = repo.br3("costs", "--json").json
    transcript.unlink()
    repo.br3("costs", "import")
    repo.br3("db", "rebuild")
    assert repo.br3("costs", "--json").json == total


def test_only_what_is_new_is_read_the_next_time(repo: Scratch, transcript: Path) -> None:
    repo.br3("costs", "import")
    message = json.loads(next(x for x in transcript.read_text().splitlines() if '"usage":{' in x))
    message["message"]["id"] = "msg_another"
    message["requestId"] = "req_another"
    line = json.dumps(message, separators=(",", ":")) + "\n"
    with transcript.open("a") as more:
        more.write(line)
    again = repo.br3("costs", "import", "--json").json
    assert (again["messages"], again["bytes_read"]) == (1, len(line))


def test_a_session_that_belongs_to_no_build_says_so_and_other_projects_are_left_out(
    repo: Scratch, transcript: Path
) -> None:
    elsewhere = transcript.with_name("elsewhere.jsonl")
    elsewhere.write_text(transcript.read_text().replace(str(repo.path), "/somewhere/else").replace("msg_", "msg_x"))
    said = repo.br3("costs", "import", "--json").json
    assert said["elsewhere"] > 0
    rows = repo.br3("costs", "--by", "build", "--json").json["rows"]
    assert [row["key"] for row in rows] == ["(no build)"]


def test_a_session_in_a_build_s_worktree_is_that_build_s(repo: Scratch, transcript: Path) -> None:
    repo.plan('[setup]\n[[build]]\nid = "a"\nagent = "manual"\n[build.verify]\nrun = ["true"]\n')
    repo.br3("up", "--trust")
    inside = repo.worktree("a") / "deep"
    text = transcript.read_text().replace(json.dumps(str(repo.path)), json.dumps(str(inside)))
    repo.br3("costs", "import")  # in the main worktree, before there was a build
    later = transcript.with_name("later.jsonl")
    later.write_text(text.replace("2026-11-22T09", "2090-11-22T09").replace("msg_", "msg_later_"))
    repo.br3("costs", "import")
    rows = repo.br3("costs", "--by", "build", "--json").json["rows"]
    assert {row["key"] for row in rows} == {"a", "(no build)"}


def test_nothing_of_what_was_said_in_a_session_is_kept(repo: Scratch, transcript: Path) -> None:
    said = {
        part["text"]
        for line in map(json.loads, transcript.read_text().splitlines())
        for part in (line.get("message") or {}).get("content") or []
        if isinstance(part, dict) and part.get("text")
    }
    assert said
    repo.br3("costs", "import")
    for segment in journal_dir(repo.common_dir).glob("*.jsonl"):
        assert not any(text in segment.read_text() for text in said)


def test_an_import_that_is_killed_leaves_nothing_half_done(repo: Scratch, transcript: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from br3.dispatch import importing\n"
        "importing.sync_directory = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from br3.cli import main\n"
        "main(['costs', 'import'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repo.path, env=dict(os.environ), capture_output=True)
    assert done.returncode == -signal.SIGKILL
    once = repo.br3("costs", "--json").json
    assert once["total_usd"] is not None  # it was in the journal already
    assert repo.br3("costs", "import", "--json").json["messages"] > 0  # that it was read was not noted
    assert repo.br3("costs", "--json").json == once
    assert not list(journal_dir(repo.common_dir).glob(".import-*"))
