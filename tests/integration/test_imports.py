"""Costs of interactive sessions: transcripts in their true form, read by the real thing into a real segment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from br3.analytics.imports import Offset, Place, Scanned, scan, sources
from br3.analytics.imports.fresh import LONGEST_LINE, WholeLines
from br3.errors import UsageError
from br3.models import Tokens, price
from br3.telemetry import Event, Journal
from br3.telemetry.journal import Follower, journal_dir

DATA = Path(__file__).parents[1] / "data" / "transcripts"
NOW = "2026-11-22T12:00:00.000000Z"
TRUE_LINES = [json.loads(line) for line in (DATA / "claude.jsonl").read_text().splitlines()]
ANSWER = next(line for line in TRUE_LINES if line["type"] == "assistant")
SECRET = "the prompt nobody else may see"


def answer(
    message: str = "msg_1",
    *,
    request: str | None = "req_1",
    output: int = 100,
    side: bool = False,
    text: str = SECRET,
    usage: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A line of Claude Code's as it is on disk, with some of it changed."""
    line: dict[str, Any] = json.loads(json.dumps(ANSWER))
    line["message"]["id"] = message
    line["message"]["content"] = [{"type": "text", "text": text}]
    line["message"]["model"] = fields.pop("model", "claude-opus-5-5")
    line["message"]["usage"] |= {"input_tokens": 10, "output_tokens": output, **(usage or {})}
    line |= {"requestId": request, "isSidechain": side, "timestamp": fields.pop("at", "2026-11-20T10:00:00.123Z")}
    if request is None:
        del line["requestId"]
    return line | fields


def compact(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class Desk:
    """A user's transcripts, and a repository with worktrees that are known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = path / "repo"
        self.tree = path / "repo.worktrees" / "a"
        for directory in (self.repo, self.tree):
            directory.mkdir(parents=True)
        self.environ = {"HOME": str(path / "home")}
        self.places: Sequence[Place] = [Place(self.repo, None), Place(self.tree, "a")]
        self.branches = {"build/a": "a", "build/b": "b"}
        self.known: dict[str, Offset] = {}
        self.segment = path / "segment.jsonl"

    def write(self, *lines: Mapping[str, Any] | bytes, to: str = "s", agent: str = "claude") -> Path:
        """Append lines to a transcript; a mapping that has no directory of its own is from the worktree of a."""
        below = (
            f".claude/projects/-x/{to}.jsonl" if agent == "claude" else f".codex/sessions/2026/11/22/rollout-{to}.jsonl"
        )
        file = self.path / "home" / below
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "ab") as out:
            for line in lines:
                out.write(line if isinstance(line, bytes) else compact(self.here(line)))
        return file

    def here(self, line: Mapping[str, Any]) -> dict[str, Any]:
        return {**line, "cwd": str(self.tree)} if line.get("cwd") == ANSWER["cwd"] else dict(line)

    def scan(self, own: Mapping[str, str | None] | None = None, **more: Any) -> Scanned:
        self.segment.unlink(missing_ok=True)
        found = scan(
            sources=sources(self.environ),
            known=self.known,
            places=self.places,
            branches=self.branches,
            own=own or {},
            segment=self.segment,
            now=NOW,
            scratch=self.path / "scratch",
            **more,
        )
        self.known |= {offset.path: offset for offset in found.offsets}
        return found

    def events(self, **more: Any) -> list[Event]:
        """What a scan writes, read as the journal is read."""
        found = self.scan(**more)
        journal = journal_dir(self.path / "read")
        journal.mkdir(parents=True, exist_ok=True)
        assert found.written == self.segment.exists()
        if not found.written:
            return []
        target = journal / f"scan-{len(list(journal.iterdir()))}.jsonl"
        self.segment.rename(target)
        events = [event for event in Follower(self.path / "read").poll() if event.segment == target.stem]
        assert len(events) == found.messages == target.read_bytes().count(b"\n")
        return events

    def usage(self, **more: Any) -> list[dict[str, Any]]:
        return [{**event.data, "build": event.build} for event in self.events(**more)]

    def outputs(self, **more: Any) -> list[int]:
        return [data["output_tokens"] for data in self.usage(**more)]

    def builds(self, **more: Any) -> dict[str, str | None]:
        return {data["message"]: data["build"] for data in self.usage(**more)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# What is written


def test_a_true_transcript_is_told_message_by_message(desk: Desk) -> None:
    desk.write(*TRUE_LINES)
    first, second = desk.usage()
    assert first == {
        "agent": "claude",
        "session": "28490349-f9aa-406a-8068-38226d5d9ec9",
        "message": "msg_19aea636935b4d59bc74f58b",
        "request": "req_44d506c99cd94933ae68c692",
        "model": "claude-opus-5-5",
        "at": "2026-11-22T09:03:03.465000Z",
        "input_tokens": 12908,
        "output_tokens": 99,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "cache_read_tokens": 0,
        "cost_usd": "0.0536120000",
        "price": "anthropic/claude-opus-5-5",
        "branch": "b/write",
        "sidechain": False,
        "build": "a",
    }
    assert (second["message"], second["output_tokens"]) == ("msg_addba6fe1b6544059ffbdaf9", 16)
    assert Decimal(first["cost_usd"]) + Decimal(second["cost_usd"]) == Decimal("0.106132")  # what Claude Code says


def test_the_segment_is_as_the_journal_writes_it(desk: Desk) -> None:
    desk.write(
        answer("msg_1"), answer("msg_2", at="2026-11-20T09:00:00Z", gitBranch="zweig/ä\u2028", cwd=str(desk.repo))
    )
    desk.scan()
    text = desk.segment.read_bytes()
    Journal(desk.path / "other").append("note", x=1)
    [other] = [path.read_text() for path in journal_dir(desk.path / "other").iterdir()]
    events = [json.loads(line) for line in text.splitlines()]
    assert text.isascii() and text.endswith(b"\n")
    assert [list(event) for event in events] == [list(json.loads(other))] * 2
    assert [json.dumps(event, separators=(",", ":")).encode() for event in events] == text.splitlines()
    assert [event["seq"] for event in events] == [1, 2]
    assert [event["data"]["message"] for event in events] == ["msg_2", "msg_1"]  # by time
    assert events[0]["data"]["branch"] == "zweig/ä\u2028"
    assert {(e["ts"], e["gen"], e["kind"], e["severity"], e["pid"]) for e in events} == {
        (NOW, 0, "usage.imported", "info", os.getpid())
    }
    assert {(e["run"], e["task"], e["attempt"]) for e in events} == {(None, None, None)}
    assert desk.segment.stat().st_mode & 0o777 == 0o600


def test_nothing_that_was_said_leaves_a_transcript(desk: Desk) -> None:
    said = {"type": "user", "message": {"role": "user", "content": SECRET}, "cwd": ANSWER["cwd"], "summary": SECRET}
    desk.write(said, answer(), {**answer("msg_2"), "lastPrompt": SECRET, "toolUseResult": {"stdout": SECRET}})
    assert desk.scan().messages == 2
    assert SECRET.encode() not in desk.segment.read_bytes()
    assert list((desk.path / "scratch").iterdir()) == []


def test_what_a_killed_scan_left_lying_about_is_removed(desk: Desk) -> None:
    left = desk.path / "scratch" / "import-abc"
    left.mkdir(parents=True)
    (left / "spilled").write_text("x")
    desk.write(answer())
    desk.scan()
    assert not left.exists()


def test_without_anything_to_tell_there_is_no_segment(desk: Desk) -> None:
    assert desk.scan() == Scanned()
    desk.write(*(line for line in TRUE_LINES if line["type"] != "assistant"))
    found = desk.scan()
    assert (found.messages, found.written, found.files_read, found.skipped_lines) == (0, False, 1, 0)
    assert not desk.segment.exists()


def test_a_segment_that_exists_is_left_alone(desk: Desk) -> None:
    desk.write(answer())
    desk.segment.write_text("somebody's")
    with pytest.raises(FileExistsError):
        scan(
            sources=sources(desk.environ),
            known={},
            places=desk.places,
            branches={},
            own={},
            segment=desk.segment,
            now=NOW,
            scratch=desk.path / "scratch",
        )
    assert desk.segment.read_text() == "somebody's"
    assert list((desk.path / "scratch").iterdir()) == []


def test_a_segment_that_could_not_be_completed_is_removed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def events(*_: object) -> Iterator[bytes]:
        yield b"{}\n"
        raise OSError("no space left")

    monkeypatch.setattr("br3.analytics.imports.lines.Lines.events", events)
    desk.write(answer())
    with pytest.raises(OSError, match="no space left"):
        desk.scan()
    assert not desk.segment.exists()
    assert list((desk.path / "scratch").iterdir()) == []


# Each message once


def test_of_the_reports_of_a_message_the_largest_is_kept(desk: Desk) -> None:
    desk.write(answer(output=1), answer(output=250), answer(output=250), answer(output=7))
    desk.write(answer(output=40), to="copy")
    assert desk.outputs() == [250]


def test_the_same_message_of_two_requests_is_two(desk: Desk) -> None:
    desk.write(answer(request="req_1", output=5), answer(request="req_2", output=6), answer(request=None, output=7))
    assert sorted(desk.outputs()) == [5, 6, 7]


@pytest.mark.parametrize("request_id", ["req_1", "req_of_the_copy", None])
def test_a_side_chain_s_copy_gives_way_to_its_parent(desk: Desk, request_id: str | None) -> None:
    desk.write(answer(output=10, side=False))
    desk.write(answer(output=900, side=True, request=request_id), to="s/subagents/agent-1")
    assert [(data["output_tokens"], data["sidechain"]) for data in desk.usage()] == [(10, False)]


def test_a_side_chain_without_a_parent_counts_once(desk: Desk) -> None:
    desk.write(answer(output=10, side=True), to="s/subagents/agent-1")
    desk.write(answer(output=20, side=True, request="req_2"), to="s/subagents/agent-2")
    desk.write(answer("msg_2", output=30, side=True), to="s/subagents/agent-2")
    assert sorted(desk.outputs()) == [20, 30]


def test_a_sub_agent_s_message_inside_a_line_of_its_parent_s_counts(desk: Desk) -> None:
    inner = answer("msg_inner", output=77)
    outer = {
        "type": "progress",
        "cwd": str(desk.tree),
        "gitBranch": "main",
        "sessionId": "s",
        "timestamp": "2026-11-20T11:00:00Z",
        "data": {"type": "agent_progress", "message": {"type": "assistant", **inner}},
    }
    desk.write(outer)
    [data] = desk.usage()
    assert (data["message"], data["request"], data["output_tokens"], data["at"]) == (
        "msg_inner",
        "req_1",
        77,
        "2026-11-20T10:00:00.123000Z",
    )


def test_the_usage_that_a_tool_s_result_tells_of_is_no_message(desk: Desk) -> None:
    result = {"totalTokens": 810, "usage": {"input_tokens": 4, "output_tokens": 806}}
    desk.write({**TRUE_LINES[2], "toolUseResult": result})
    found = desk.scan()
    assert (found.messages, found.skipped_lines, found.elsewhere) == (0, 0, 0)


def test_messages_that_claude_code_made_up_itself_are_none(desk: Desk) -> None:
    desk.write(answer("msg_1", model="<synthetic>"), answer("msg_2"))
    assert list(desk.builds()) == ["msg_2"]


# Whose it is


def test_a_session_that_moves_into_a_worktree_is_split(desk: Desk) -> None:
    desk.write(
        answer("msg_1", cwd=str(desk.repo), gitBranch="main"),
        answer("msg_2", cwd=str(desk.tree), gitBranch="main"),
        answer("msg_3", cwd=str(desk.tree / "deep" / "down"), gitBranch="build/b"),
        answer("msg_4", cwd=str(desk.repo / "src"), gitBranch="main"),
    )
    assert desk.builds() == {"msg_1": None, "msg_2": "a", "msg_3": "a", "msg_4": None}


def test_the_deepest_worktree_has_it(desk: Desk) -> None:
    inside = desk.repo / "trees" / "b"
    desk.places = [Place(inside, "b"), *desk.places]
    desk.write(answer("msg_1", cwd=str(inside / "src")), answer("msg_2", cwd=str(desk.repo / "trees")))
    assert desk.builds() == {"msg_1": "b", "msg_2": None}


def test_elsewhere_in_the_repository_the_branch_says_whose_it_is(desk: Desk) -> None:
    linked = desk.path / "somewhere"
    desk.places = [*desk.places, Place(linked, None)]
    desk.write(
        answer("msg_1", cwd=str(desk.repo), gitBranch="build/b"),
        answer("msg_2", cwd=str(linked), gitBranch="build/a"),
        answer("msg_3", cwd=str(linked), gitBranch="HEAD"),
        answer("msg_4", cwd=str(desk.repo), gitBranch=None),
    )
    assert desk.builds() == {"msg_1": "b", "msg_2": "a", "msg_3": None, "msg_4": None}


def test_other_projects_are_left_out_and_counted(desk: Desk) -> None:
    beside = f"{desk.tree}-other"
    desk.write(
        answer("msg_1", cwd=beside, gitBranch="build/a"),
        answer("msg_2", cwd="/", gitBranch="build/a"),
        answer("msg_2", cwd="/", gitBranch="build/a"),
        answer("msg_3"),
        {k: v for k, v in answer("msg_4").items() if k != "cwd"},
    )
    found = desk.scan()
    assert (found.messages, found.elsewhere, found.skipped_lines) == (1, 3, 0)


def test_a_worktree_that_two_builds_had_in_turn_belongs_to_each_in_its_time(desk: Desk) -> None:
    desk.places = [
        Place(desk.tree, "b", since="2026-11-20T00:00:00.000000Z"),
        Place(desk.tree, "a", since="2026-11-10T00:00:00.000000Z"),
    ]
    desk.write(
        answer("msg_1", at="2026-11-09T23:59:59.999Z", gitBranch="main"),
        answer("msg_2", at="2026-11-10T00:00:00Z", gitBranch="main"),
        answer("msg_3", at="2026-11-19T23:59:59.999Z", gitBranch="main"),
        answer("msg_4", at="2026-11-20T00:00:00Z", gitBranch="main"),
    )
    assert desk.builds() == {"msg_1": None, "msg_2": "a", "msg_3": "a", "msg_4": "b"}


def test_a_worktree_is_known_by_the_path_behind_a_symbolic_link_too(desk: Desk) -> None:
    link = desk.path / "link"
    link.symlink_to(desk.tree)
    desk.places = [Place(link, "a")]
    desk.write(answer("msg_1", cwd=str(desk.tree)), answer("msg_2", cwd=str(link / "src")))
    assert desk.builds() == {"msg_1": "a", "msg_2": "a"}


def test_the_sessions_of_br3_s_own_agents_are_left_out_up_to_their_end(desk: Desk) -> None:
    desk.write(
        answer("msg_1", sessionId="ours", at="2026-11-20T10:00:00Z"),
        answer("msg_2", sessionId="ours", at="2026-11-20T12:00:00Z"),
        answer("msg_3", sessionId="living", at="2026-11-20T12:00:00Z"),
        answer("msg_4", sessionId="theirs", at="2026-11-20T10:00:00Z"),
    )
    desk.write(answer("msg_1", sessionId="resumed as another", at="2026-11-20T10:00:00Z"), to="copy")
    own = {"ours": "2026-11-20T11:00:00.000000Z", "living": None}
    assert set(desk.builds(own=own)) == {"msg_2", "msg_4"}


# Only what is new, and all of it


def test_a_second_scan_reads_only_what_is_new(desk: Desk) -> None:
    file = desk.write(answer("msg_1"))
    desk.write(answer("msg_2"), to="t")
    assert set(desk.builds()) == {"msg_1", "msg_2"}
    size = file.stat().st_size
    desk.write(answer("msg_3"))
    found = desk.scan()
    assert (found.messages, found.files_read, found.bytes_read) == (1, 1, file.stat().st_size - size)
    assert [(offset.path, offset.size_read) for offset in found.offsets] == [(str(file), file.stat().st_size)]
    assert desk.scan() == Scanned()


def test_a_file_that_looks_the_same_is_not_opened(desk: Desk) -> None:
    file = desk.write(answer("msg_1"))
    desk.scan()
    facts = file.stat()
    with open(file, "r+b") as out:
        out.write(file.read_bytes().replace(b"msg_1", b"msg_2"))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert desk.scan() == Scanned()
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    found = desk.scan()
    assert (found.messages, found.bytes_read) == (0, 0)
    assert [offset.mtime_ns for offset in found.offsets] == [facts.st_mtime_ns + 1]


def test_where_nothing_is_new_duckdb_is_not_even_imported(desk: Desk) -> None:
    desk.write(answer("msg_1"), b'{"half')
    desk.scan()
    program = (
        "import sys, json\nfrom pathlib import Path\n"
        "from br3.analytics.imports import Offset, scan, sources\n"
        "home, known = sys.argv[1], [Offset(**facts) for facts in json.loads(sys.argv[2])]\n"
        "found = scan(sources=sources({'HOME': home}), known={o.path: o for o in known}, places=[], branches={},\n"
        "    own={}, segment=Path(home, 'no'), now='', scratch=Path(home, 'scratch'))\n"
        "assert found.files_read == 0, found\n"
        "print('duckdb' in sys.modules)"
    )
    names = ("path", "size_read", "mtime_ns", "inode", "state")
    known = json.dumps([{name: getattr(o, name) for name in names} for o in desk.known.values()])
    words = [sys.executable, "-c", program, desk.environ["HOME"], known]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_half_written_line_is_read_when_it_is_whole_and_once(desk: Desk) -> None:
    whole = compact(desk.here(answer("msg_2")))
    file = desk.write(answer("msg_1"), whole[:200])
    assert list(desk.builds()) == ["msg_1"]
    assert desk.known[str(file)].size_read == file.stat().st_size - 200
    assert desk.scan().messages == 0
    desk.write(whole[200:-1])
    assert desk.scan().messages == 0
    desk.write(b"\n", answer("msg_3"))
    assert set(desk.builds()) == {"msg_2", "msg_3"}
    assert desk.scan() == Scanned()


def test_a_file_that_shrank_is_read_from_its_beginning(desk: Desk) -> None:
    file = desk.write(answer("msg_1"), answer("msg_2"))
    desk.scan()
    file.write_bytes(compact(desk.here(answer("msg_3"))))
    seen: list[int] = []
    assert list(desk.builds(progress=lambda done, of: seen.append(of))) == ["msg_3"]
    assert set(seen) == {file.stat().st_size}


def test_a_file_that_was_replaced_is_read_from_its_beginning(desk: Desk) -> None:
    file = desk.write(answer("msg_1"))
    desk.scan()
    other = desk.write(answer("msg_3"), answer("msg_4"), answer("msg_5"), to="new")
    other.rename(file)
    assert set(desk.builds()) == {"msg_3", "msg_4", "msg_5"}


def test_a_file_that_was_replaced_by_one_of_the_same_age_and_length_is_read(desk: Desk) -> None:
    file = desk.write(answer("msg_1"))
    desk.scan()
    facts = file.stat()
    other = desk.write(answer("msg_2"), to="new")
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.rename(file)
    assert list(desk.builds()) == ["msg_2"]


def test_a_line_that_is_completed_within_the_clock_s_tick_is_read(desk: Desk) -> None:
    whole = compact(desk.here(answer("msg_1")))
    file = desk.write(whole[:200])
    facts = file.stat()
    desk.scan()
    desk.write(whole[200:])
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert list(desk.builds()) == ["msg_1"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_changes_after_it_was_listed_is_read_as_it_is(desk: Desk, replaced: bool) -> None:
    file = desk.write(answer("msg_1"), answer("msg_2"))
    desk.scan()
    desk.write(b"\n")
    listed = sources(desk.environ)
    if replaced:
        desk.write(*(answer(f"msg_{n}") for n in range(5, 9)), to="new").rename(file)
    else:
        file.write_bytes(compact(desk.here(answer("msg_5"))))
    found = scan(
        sources=listed,
        known=desk.known,
        places=desk.places,
        branches={},
        own={},
        segment=desk.path / "other.jsonl",
        now=NOW,
        scratch=desk.path / "scratch",
    )
    assert (found.messages, found.bytes_read, found.skipped_lines) == (4 if replaced else 1, file.stat().st_size, 0)


def test_files_that_vanish_are_passed_over(desk: Desk) -> None:
    desk.write(answer("msg_1"))
    gone = desk.write(answer("msg_2"), to="gone")
    listed = sources(desk.environ)
    gone.unlink()
    found = scan(
        sources=listed,
        known={},
        places=desk.places,
        branches={},
        own={},
        segment=desk.segment,
        now=NOW,
        scratch=desk.path / "scratch",
    )
    assert (found.messages, len(found.offsets)) == (1, 1)


def test_progress_goes_up_to_the_end(desk: Desk) -> None:
    desk.write(answer("msg_1"))
    desk.write(answer("msg_2"), to="t")
    seen: list[tuple[int, int]] = []
    total = desk.scan(progress=lambda done, of: seen.append((done, of))).bytes_read
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


# Whatever the bytes


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"assistant","message":{"id":"msg_bad","usage":{"input_tokens":1,\xff\xfe"output_tokens":1}}}\n',
        b'{"type":"assistant","message":{"id":"msg_bad","usage":{"input_tokens":1,\x00"output_tokens":1}}}\n',
        b'{"type":"assistant","message":{"usage":{"input_tokens":1,\n',
        b"\x00" * 5000 + b"\n",
        b"\xff\xfe\xfa\n",
        b"not JSON\n",
        b'["usage",{"usage":{}}]\n',
        b'{"usage":' * 5000 + b"\n",
    ],
    ids=["utf-8", "nul", "torn", "nuls", "bytes", "text", "list", "deep"],
)
def test_a_line_that_cannot_be_read_costs_only_itself(desk: Desk, bad: bytes) -> None:
    desk.write(answer("msg_1"), bad, answer("msg_2"), b"\n", b"\r\n", answer("msg_3"))
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (3, b'"usage":{' in bad)


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": -1, "cache_read_input_tokens": 1000},
        {"input_tokens": "many"},
        {"input_tokens": None},
        {"output_tokens": 10**30},
        {"output_tokens": {"a": 1}},
    ],
)
def test_counts_that_are_none_are_no_usage(desk: Desk, counts: Mapping[str, Any]) -> None:
    desk.write(answer("msg_1", usage=counts), answer("msg_2"))
    assert list(desk.builds()) == ["msg_2"]


@pytest.mark.parametrize("at", ["infinity", "99999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "", "\u0000"])
def test_a_time_that_cannot_be_is_none(desk: Desk, at: str) -> None:
    desk.write(answer("msg_1", at=at), answer("msg_2"))
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (1, 1)


def test_a_line_without_a_time_or_a_model_is_counted_as_unreadable(desk: Desk) -> None:
    desk.write(
        answer("msg_1", at="yesterday"),
        answer("msg_2", model=None),
        answer("msg_3", type=None, usage={"input_tokens": None}),
        answer("msg_4"),
    )
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (1, 3)


def test_times_with_another_zone_are_turned_into_utc(desk: Desk) -> None:
    desk.write(answer(at="2026-11-20T10:00:00.5+02:00"))
    assert [data["at"] for data in desk.usage()] == ["2026-11-20T08:00:00.500000Z"]


def test_lines_of_megabytes_are_read_and_longer_ones_stepped_over(desk: Desk) -> None:
    result = {"type": "user", "message": {"role": "user", "content": "x" * 40_000_000}, "cwd": str(desk.tree)}
    desk.write(
        answer("msg_1"),
        answer("msg_2", text="y" * 3_500_000),
        result,
        answer("msg_3", text="z" * (LONGEST_LINE + 1)),
        {"usage": {"first": 1}, "then": "z" * (LONGEST_LINE + 1)},
        answer("msg_4"),
        b'{"type":"assistant","half":"' + b"h" * LONGEST_LINE,
    )
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (3, 2)  # the tool's long result was never usage
    desk.write(b'"}\n', answer("msg_5"))
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (1, 0)


def test_more_than_one_slice_of_lines_is_read_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("br3.analytics.imports.reading.SLICE_BYTES", 5000)
    for number in range(20):
        desk.write(*(answer(f"msg_{number}_{i}", text="t" * i * 100) for i in range(number)), to=f"s{number}")
    found = desk.scan()
    assert (found.messages, found.skipped_lines) == (sum(range(20)), 0)


def test_what_is_written_while_a_file_is_read_is_left_for_the_next_time(tmp_path: Path) -> None:
    long = b"x" * 300_000 + b"\n"
    (tmp_path / "growing").write_bytes(b"one\n" + long + b"three\nfour\n")
    with open(tmp_path / "growing", "rb") as file:
        lines = WholeLines(file.fileno(), 4, 4 + len(long) + 2)
        assert b"".join(bytes(buffer[:length]) for buffer, length in lines) == long
    assert lines.end == 4 + len(long)


def test_lines_of_both_agents_are_kept_apart(desk: Desk) -> None:
    desk.write(answer("msg_1"))
    desk.write(*rollout(desk), to="r", agent="codex")
    assert {data["agent"] for data in desk.usage()} == {"claude", "codex"}


# What it cost


def test_costs_are_those_of_the_price_table(desk: Desk, sealed: Path) -> None:
    config = sealed / ".config" / "br3"
    config.mkdir(parents=True)
    (config / "models.toml").write_text(
        '[models."fine"]\ninput = "0.000000123456"\noutput = "0.00005"\ncache_read = "0.00015"\n'
        '[models."our/opus"]\nlike = "claude-opus-5-5"\n'
    )
    random_numbers = random.Random(5)
    models = (
        "claude-opus-5-5 claude-sonnet-5-5 claude-haiku-5-5 claude-opus-4-8[1m] claude-haiku-4-5-20251001 fine our/opus"
        " us.anthropic.claude-opus-4-6-v1 claude-opus-4-6 gpt-5.5 gpt-5.5-pro nobody-knows"
    ).split()
    days = ["2026-03-12T23:59:59.999Z", "2026-10-06T23:59:59.9Z", "2026-10-07T00:00:00Z", "2026-11-20T10:00:00Z"]
    expected: dict[str, tuple[Decimal | None, str | None]] = {}
    for number in range(1500):
        model, at, tier = random_numbers.choice(models), random_numbers.choice(days), random_numbers.randrange(4)
        edge = random_numbers.choice((0, 0, 1, 99_990, 100_000, 199_995, 272_000))
        counts = [random_numbers.choice((0, 1, random_numbers.randrange(50_000))) for _ in range(5)]
        tokens = Tokens(counts[0] + edge, *counts[1:])
        if number in (1, 2):  # the longest prompt below the step, and the shortest above it
            model, tokens, tier = "claude-haiku-5-5", Tokens(99_999 + number, 1), 0
        batch, fast = tier == 1, tier == 2
        usage = {
            "input_tokens": tokens.input,
            "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
            "cache_read_input_tokens": tokens.cache_read,
            "service_tier": "batch" if batch else "standard",
            "speed": "fast" if fast else "standard",
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write_5m,
                "ephemeral_1h_input_tokens": tokens.cache_write_1h,
            },
        }
        desk.write(answer(f"msg_{number}", model=model, at=at, output=tokens.output, usage=usage))
        priced = price(model, datetime.fromisoformat(at).astimezone(UTC), tokens, batch=batch, fast=fast)
        expected[f"msg_{number}"] = priced.cost_usd, priced.price
    usages = desk.usage()
    told = {
        data["message"]: (None if data["cost_usd"] is None else Decimal(data["cost_usd"]), data["price"])
        for data in usages
    }
    assert told == expected
    assert len(usages) == len(expected)
    assert len({price for _, price in told.values()}) > 15


def test_half_of_the_last_digit_goes_to_the_even_one(desk: Desk, sealed: Path) -> None:
    config = sealed / ".config" / "br3"
    config.mkdir(parents=True)
    (config / "models.toml").write_text('[models."fine"]\ninput = "0.00005"\noutput = "0.00005"\n')
    for count in range(1, 8):
        desk.write(answer(f"msg_{count}", model="fine", output=count, usage={"input_tokens": 0}))
    told = {data["output_tokens"]: data["cost_usd"][-2:] for data in desk.usage()}
    assert told == {1: "00", 2: "01", 3: "02", 4: "02", 5: "02", 6: "03", 7: "04"}


def test_money_is_written_in_plain_digits(desk: Desk) -> None:
    desk.write(answer(output=0, model="claude-haiku-5-5", usage={"input_tokens": 0, "cache_read_input_tokens": 1}))
    assert [data["cost_usd"] for data in desk.usage()] == ["0.0000000100"]


def test_writes_for_an_hour_cost_what_they_do(desk: Desk) -> None:
    kinds = {"ephemeral_1h_input_tokens": 1_000_000, "ephemeral_5m_input_tokens": 0}
    none = {"input_tokens": 0, "cache_creation_input_tokens": 1_000_000}
    desk.write(
        answer("msg_1h", output=0, usage={**none, "cache_creation": kinds}),
        answer("msg_only_1h", output=0, usage={**none, "cache_creation": {"ephemeral_1h_input_tokens": 1_000_000}}),
        answer("msg_untold", output=0, usage={**none, "cache_creation": None}),
    )
    told = {
        data["message"]: (data["cache_write_tokens"], data["cache_write_1h_tokens"], Decimal(data["cost_usd"]))
        for data in desk.usage()
    }
    assert told == {
        "msg_1h": (1_000_000, 1_000_000, 8),
        "msg_only_1h": (1_000_000, 1_000_000, 8),
        "msg_untold": (1_000_000, 0, 5),
    }


def test_an_unknown_model_has_no_cost_rather_than_none_at_all(desk: Desk) -> None:
    desk.write(answer("msg_1", model="claude-opus-99"), answer("msg_2", model="claude-opus-99"), answer("msg_3"))
    found = desk.scan()
    assert dict(found.unpriced_models) == {"claude-opus-99": 2}
    told = [json.loads(line)["data"] for line in desk.segment.read_text().splitlines()]
    assert {(data["model"], data["cost_usd"] is None, data["price"] is None) for data in told} == {
        ("claude-opus-99", True, True),
        ("claude-opus-5-5", False, False),
    }


def test_wrong_prices_of_the_user_s_stop_the_scan_and_leave_nothing(desk: Desk, sealed: Path) -> None:
    config = sealed / ".config" / "br3"
    config.mkdir(parents=True)
    (config / "models.toml").write_text('[models."x"]\ninput = "free"\n')
    desk.write(answer())
    with pytest.raises(UsageError):
        desk.scan()
    assert not desk.segment.exists()
    assert list((desk.path / "scratch").iterdir()) == []


# Codex


def rollout(desk: Desk, name: str = "codex") -> list[bytes]:
    """A true rollout, as if it had been written in the worktree of a."""
    return [
        line.replace(b"/repo.worktrees/a", str(desk.tree).encode())
        for line in (DATA / f"{name}.jsonl").read_bytes().splitlines(keepends=True)
    ]


THREAD = "01a203cd-6cb0-7710-b0ab-9b8eee6ecf94"
LATER, EARLIER = "01a203cd-6cb1-7000-8000-000000000000", "01a203cd-6caf-7000-8000-000000000000"


def meta(desk: Desk, **fields: Any) -> dict[str, Any]:
    payload = {"id": THREAD, "cwd": str(desk.tree), "git": {"branch": "main"}, **fields}
    return {"timestamp": "2026-11-20T10:00:00.000Z", "type": "session_meta", "payload": payload}


def turn(model: str = "gpt-5.5", turn_id: str = LATER, **fields: Any) -> dict[str, Any]:
    payload = {"turn_id": turn_id, "model": model, **fields}
    return {"timestamp": "2026-11-20T10:00:01.000Z", "type": "turn_context", "payload": payload}


def totals(sent: int, cached: int, output: int, *, last: Sequence[int] | None = None) -> dict[str, Any]:
    def counts(sent: int, cached: int, output: int) -> dict[str, int]:
        return {"input_tokens": sent, "cached_input_tokens": cached, "output_tokens": output}

    info = {"total_token_usage": counts(sent, cached, output)}
    if last is not None:
        info["last_token_usage"] = counts(*last)
    payload = {"type": "token_count", "info": info, "rate_limits": {"primary": None}}
    return {"timestamp": "2026-11-20T10:00:02.000Z", "type": "event_msg", "payload": payload}


def counted(data: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int, int]]:
    return [(d["message"], d["input_tokens"], d["cache_read_tokens"], d["output_tokens"]) for d in data]


def test_a_true_rollout_is_told_response_by_response(desk: Desk) -> None:
    desk.write(*rollout(desk), to="r", agent="codex")
    data = desk.usage()
    assert counted(data) == [
        ("resp_de9bd2fb8acf42179d3c47f0", 9842, 0, 138),
        ("resp_07cd1e758e3f42f8aca5c9e2", 10065, 0, 49),
        ("resp_91694e4315204cda81311491", 10403, 0, 138),
        ("resp_1b404e916f3549efa8b4db8b", 10615, 0, 49),
    ]
    assert {(d["agent"], d["session"], d["model"], d["branch"], d["build"], d["request"]) for d in data} == {
        ("codex", THREAD, "gpt-5.5", "build/a", "a", None)
    }
    assert data[0]["at"] == "2026-11-22T15:08:44.196000Z"
    assert Decimal(data[0]["cost_usd"]) == (Decimal(5) * 9842 + Decimal(30) * 138) / 1_000_000


def test_a_true_fork_tells_only_of_its_own(desk: Desk) -> None:
    desk.write(*rollout(desk, "codex-fork"), to="r", agent="codex")
    assert counted(desk.usage()) == [("resp_d45cd04e88c94148a6601e9e", 10725, 0, 49)]


def test_of_running_totals_what_they_grew_by_is_told(desk: Desk) -> None:
    desk.write(
        meta(desk),
        turn(),
        totals(100, 20, 30, last=(100, 20, 30)),
        totals(100, 20, 30, last=(100, 20, 30)),  # only a limit has changed
        totals(300, 120, 35, last=(999, 999, 999)),
        {**totals(0, 0, 0), "payload": {"type": "token_count", "info": None}},
        totals(500, 220, 45),
        totals(50, 0, 5, last=(40, 10, 4)),  # begun anew
        to="r",
        agent="codex",
    )
    assert counted(desk.usage()) == [
        (f"{THREAD}#1", 80, 20, 30),
        (f"{THREAD}#2", 100, 100, 5),
        (f"{THREAD}#3", 100, 100, 10),
        (f"{THREAD}#4", 30, 10, 4),
    ]


def test_a_rollout_is_read_on_from_the_middle(desk: Desk) -> None:
    half = json.dumps(totals(700, 0, 60)).encode()
    desk.write(meta(desk), turn("gpt-5.5", cwd=str(desk.repo)), totals(100, 0, 30), half[:90], to="r", agent="codex")
    assert counted(desk.usage()) == [(f"{THREAD}#1", 100, 0, 30)]
    assert desk.scan().messages == 0
    desk.write(half[90:] + b"\n", totals(900, 0, 61), to="r", agent="codex")
    data = desk.usage()
    assert counted(data) == [(f"{THREAD}#2", 600, 0, 30), (f"{THREAD}#3", 200, 0, 1)]
    assert {(d["model"], d["branch"], d["build"], d["session"]) for d in data} == {("gpt-5.5", "main", None, THREAD)}


def test_every_turn_has_its_model_and_its_place(desk: Desk) -> None:
    desk.write(
        meta(desk, cwd=str(desk.repo)),
        turn("gpt-5.5", cwd=str(desk.repo)),
        totals(100, 0, 30),
        turn("gpt-5.5-pro", cwd=str(desk.tree)),
        totals(200, 0, 60),
        to="r",
        agent="codex",
    )
    assert [(d["model"], d["build"]) for d in desk.usage()] == [("gpt-5.5", None), ("gpt-5.5-pro", "a")]


@pytest.mark.parametrize("kin", [{"forked_from_id": EARLIER}, {"source": {"subagent": {"thread_spawn": {"depth": 1}}}}])
def test_what_a_fork_copied_from_its_parent_is_not_told_again(desk: Desk, kin: Mapping[str, Any]) -> None:
    desk.write(
        meta(desk, **kin),
        meta(desk, id=EARLIER, cwd="/elsewhere"),
        turn("gpt-4", turn_id=EARLIER),
        totals(100, 0, 30, last=(100, 0, 30)),
        totals(300, 0, 40, last=(200, 0, 10)),
        turn(turn_id=LATER),
        totals(350, 0, 44, last=(50, 0, 4)),
        to="r",
        agent="codex",
    )
    data = desk.usage()
    assert counted(data) == [(f"{THREAD}#1", 50, 0, 4)]
    assert (data[0]["session"], data[0]["build"], data[0]["model"]) == (THREAD, "a", "gpt-5.5")


def test_a_record_of_another_thread_is_its_own_file_s(desk: Desk) -> None:
    usage = {"input_tokens": 100, "cached_input_tokens": 30, "cache_write_input_tokens": 20, "output_tokens": 5}
    record = {"thread_id": THREAD, "response_id": "resp_1", "usage": usage}
    line = {"timestamp": "2026-11-20T10:00:02.000Z", "type": "token_usage_record", "payload": record}
    copied = {**line, "payload": {**record, "thread_id": EARLIER, "response_id": "resp_0"}}
    desk.write(meta(desk, session_id="root"), turn(), copied, line, totals(100, 30, 5), line, to="r", agent="codex")
    [data] = desk.usage()
    assert (data["message"], data["session"]) == ("resp_1", "root")
    assert (data["input_tokens"], data["cache_read_tokens"], data["cache_write_tokens"]) == (50, 30, 20)


@pytest.mark.parametrize(
    "bad", [b'{"type":"token_count"\n', b'["token_count"]\n', b'{"type":"turn_context"}\n', b"\xff\n"]
)
def test_a_bad_line_of_a_rollout_costs_only_itself(desk: Desk, bad: bytes) -> None:
    desk.write(meta(desk), turn(), totals(100, 0, 30), bad, totals(200, 0, 40), to="r", agent="codex")
    assert counted(desk.usage()) == [(f"{THREAD}#1", 100, 0, 30), (f"{THREAD}#2", 100, 0, 10)]


# Where they are


def names(environ: Mapping[str, str]) -> list[str]:
    return [Path(file.path).name for file in sources(environ).files]


def test_transcripts_are_found_where_agents_leave_them(tmp_path: Path) -> None:
    home, other, third = tmp_path / "home", tmp_path / "other", tmp_path / "third"
    for path in (
        home / ".claude/projects/-a/one.jsonl",
        home / ".claude/projects/-a/one/subagents/agent-1.jsonl",
        home / ".claude/projects/-a/notes.txt",
        home / ".claude/history.jsonl",
        home / ".config/claude/projects/-b/two.jsonl",
        home / ".codex/sessions/2026/11/22/rollout-2026-11-22T15-08-44-x.jsonl",
        home / ".codex/sessions/2026/11/22/other.jsonl",
        other / "projects/-c/three.jsonl",
        third / "projects/-d/four.jsonl",
        third / "sessions/2026/01/01/rollout-five.jsonl",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    rollout = "rollout-2026-11-22T15-08-44-x.jsonl"
    assert sorted(names({"HOME": str(home)})) == ["agent-1.jsonl", "one.jsonl", rollout, "two.jsonl"]
    assert sorted(names({"HOME": str(home), "CLAUDE_CONFIG_DIR": f"{other}, {third}/projects ,"})) == [
        "four.jsonl",
        rollout,
        "three.jsonl",
    ]
    assert names({"HOME": str(other), "CODEX_HOME": str(third)}) == ["rollout-five.jsonl"]
    assert names({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(home / ".config")}) == ["two.jsonl"]
    assert sources({"HOME": str(tmp_path / "nobody")}).files == ()


def test_a_directory_by_two_names_is_read_once(desk: Desk) -> None:
    desk.write(answer())
    home = desk.path / "home"
    (home / ".config").mkdir()
    (home / ".config" / "claude").symlink_to(home / ".claude")
    assert len(sources(desk.environ).files) == 1
