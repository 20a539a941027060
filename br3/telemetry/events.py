"""The kinds of events, said once. The documentation's table is generated from here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

SEVERITIES = ("info", "warning", "error", "critical")


@dataclass(frozen=True)
class Kind:
    """What an event of this kind says.

    ``state``: it changes a state or is evidence, so it is fsynced, and br3 alone writes it. ``kept``: it is never
    dropped, since a report shows it; the others are chatter.
    """

    meaning: str
    state: bool = False
    fields: str = ""
    told: bool = False

    @property
    def kept(self) -> bool:
        return self.state or self.told


KINDS: dict[str, Kind] = {
    "run.created": Kind(
        "a plan was frozen for execution", True, "plan, digest, base, base_commit, builds, continues, serves"
    ),
    "run.started": Kind("a dispatcher began to work on the run", True, "jobs, selected"),
    "run.attached": Kind("another dispatcher took the run over", True, "jobs, selected"),
    "run.paused": Kind("the run was paused, or waits for a person", True, "reason"),
    "run.resumed": Kind("a paused run goes on", True),
    "run.completed": Kind("every build is verified", True),
    "run.failed": Kind("at least one build is not verified", True, "reason"),
    "run.cancelled": Kind("the run was stopped by its user", True, "reason"),
    "build.preparing": Kind("its worktree and environment are being made", True),
    "build.started": Kind("its orchestrator began", True, "start, branch, worktree"),
    "build.resumed": Kind("an orchestrator took it over from one that is gone", True),
    "build.verifying": Kind("its tasks are done, its verification runs", True, "commit"),
    "build.repairing": Kind("its verification failed, an attempt mends it", True, "reason"),
    "build.verified": Kind("its verification passed on the tip of its branch", True, "commit, tree"),
    "build.failed": Kind("it ended without being verified", True, "cause, reason, log, hint"),
    "build.skipped": Kind("it was not started", True, "reason, files"),
    "build.cancelled": Kind("it was stopped by its user", True, "reason"),
    "build.retried": Kind("it is to begin again: from a task, with a model", True, "from, model"),
    "build.set_back": Kind(
        "its branch was set back to where a retry begins; what came off it is kept under a ref", True, "ref, commit, to"
    ),
    "build.paused": Kind("it rests; with `now` its processes are stopped as they are", True, "now"),
    "build.continued": Kind("it goes on after a pause", True),
    "build.heartbeat": Kind("a sign of life of its orchestrator, every 30 s", False, "elapsed_s"),
    "build.silent": Kind(
        "its orchestrator holds its lock and gives no sign of life; it is ended, and another one started",
        False,
        "since_s, orchestrator, ended",
        told=True,
    ),
    "build.restarting": Kind("its orchestrator is gone; another one takes over", False, "restart, wait_s", told=True),
    "control.asked": Kind("a person asked something of a run", False, "what, facts", told=True),
    "disk.low": Kind(
        "the disk is nearly full: no build is started until there is room",
        False,
        "free_bytes, path, free_files",
        told=True,
    ),
    "task.started": Kind("its first attempt is about to begin", True, "title"),
    "task.completed": Kind("its work is committed", True, "commit"),
    "task.carried": Kind("an earlier run completed it on this branch", True, "commit, digest, from_run"),
    "task.failed": Kind("all its attempts failed", True, "cause, reason"),
    "task.skipped": Kind("it is left out", True, "reason, digest"),
    "task.retried": Kind("it is to be done again", True),
    "attempt.started": Kind(
        "an agent is about to be started",
        True,
        "agent, model, directory, session, resumed, sandbox, budget_usd, head, tree, notes",
    ),
    "attempt.finished": Kind(
        "an agent has ended",
        True,
        "outcome, cause, why, exit_code, session, model, retry_after_s, head, head_tree, branch, tree, when, report",
    ),
    "attempt.salvaged": Kind(
        "what an attempt that was cut off had left was put aside, so that the next begins from the last commit",
        True,
        "ref, commit",
    ),
    "model.selected": Kind("a model was chosen for an attempt", False, "model, reason, order, by"),
    "model.fallback": Kind("another model takes over", False, "from, to, reason, by", told=True),
    "usage.recorded": Kind(
        "tokens and dollars of one model in one attempt, or in a request of br3's own",
        True,
        "model, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, cost_usd, source, price",
    ),
    "usage.differs": Kind(
        "an agent's own figure of what an attempt cost is not what was recorded",
        False,
        "recorded_usd, agent_usd",
        told=True,
    ),
    "usage.imported": Kind(
        "tokens and dollars of one message of a session that br3 did not run",
        True,
        "agent, session, message, request, model, at, input_tokens, output_tokens, cache_write_tokens, "
        "cache_write_1h_tokens, cache_read_tokens, cost_usd, price, branch, sidechain",
    ),
    "estimate.made": Kind(
        "what a build will take was estimated",
        True,
        "model, score, level, critical, minutes_p50, minutes_p90, cost_p50_usd, cost_p90_usd, work, features, "
        "ratings, files",
    ),
    "quality.passed": Kind(
        "a verification passed",
        True,
        "tree, commit, commands, environment, builds, assumed, alone, tests, coverage, results, left, warnings",
    ),
    "quality.failed": Kind(
        "a verification failed",
        True,
        "tree, commit, commands, environment, builds, assumed, alone, tests, coverage, results, left, warnings, reason",
    ),
    "error.occurred": Kind("something went wrong that no other kind names", False, "message", told=True),
    "rate_limit.hit": Kind(
        "a model's provider asked to wait; no build starts an agent for so long",
        False,
        "agent, retry_after_s, wait_s",
        told=True,
    ),
    "timeout.occurred": Kind("a command or an agent took longer than it may", False, "what, limit_s", told=True),
    "security.violation": Kind(
        "something crossed a line, or was about to",
        True,
        "rule, message, what, undone, others, paths, branches, stashes",
    ),
    "performance.degraded": Kind("something became slow", False),
    "budget.exceeded": Kind("a budget of the plan is spent", True, "scope, budget_usd, cost_usd"),
    "conflict.predicted": Kind(
        "two builds, or a build and base, no longer merge", False, "with, files, kinds, commits", told=True
    ),
    "worktree.created": Kind("a worktree was added", True, "path, branch, start"),
    "worktree.ready": Kind("its environment is set up", True, "path, duration_s, how"),
    "worktree.failed": Kind("its set-up failed; it is left for inspection", True, "path, command, exit_code, log"),
    "worktree.removed": Kind("a worktree was removed, its branch too", True, "path, branch, commit, contained"),
    "hook.commit": Kind("post-commit: a commit was made", False, "hook, commit, branch, worktree", told=True),
    "hook.merged": Kind(
        "post-merge: a merge was made, or a branch moved forward",
        False,
        "hook, commit, how, branch, worktree",
        told=True,
    ),
    "hook.rewrote": Kind(
        "post-rewrite: commits took the place of others", False, "hook, command, branch, pairs", told=True
    ),
    "hook.checkout": Kind(
        "post-checkout: another branch or commit was checked out", False, "hook, from, to, branch, worktree"
    ),
    "hook.pushed": Kind("pre-push: a push was looked at and may go", False, "hook, remote, refs, commits", told=True),
    "hook.blocked": Kind(
        "a hook stopped a commit, rebase, merge or push", False, "hook, rule, file, line, branch", told=True
    ),
    "hook.allowed": Kind(
        "what a hook would have stopped passed by a way out", False, "hook, rule, use, file, line", told=True
    ),
    "hook.off": Kind("a hook was switched off by BR3_HOOKS=0", False, "hook", told=True),
    "commit.measured": Kind(
        "what a commit changed was asked of git", False, "commit, files, lines_added, lines_removed", told=True
    ),
    "landing.started": Kind("a train is being made", True, "base, base_commit, order, method, window"),
    "landing.aside": Kind(
        "a build was put aside from the train", True, "reason, cause, files, with, commit, log, next"
    ),
    "landing.flaky": Kind("a candidate failed, and passed when tested once more", True, "builds, reason", told=True),
    "landing.needs_later": Kind(
        "a candidate failed that passes with the builds behind it", True, "base, builds, passes_in", told=True
    ),
    "landing.resolving": Kind(
        "a conflict was handed to an agent, under a run of its own", True, "child, with, files, commit, base_commit"
    ),
    "landing.intent": Kind("base is about to move", True, "what, base, old, new, builds, as, checkout"),
    "landing.moved": Kind("base has moved", True, "what, base, old, new, builds, as"),
    "landing.completed": Kind("the checkout of base follows, the train is done", True, "base, new"),
    "landing.abandoned": Kind("a train ended without moving base", True, "reason"),
    "landing.pushed": Kind("a build's branch is at the remote, for a request", True, "branch, commit, remote"),
    "landing.rejected": Kind("the remote refused a build's branch", True, "branch, commit, remote, reason"),
    "landing.requested": Kind("a request was opened for a build", True, "branch, commit, base, url"),
    "release.intent": Kind(
        "a tag is about to be made, with the release's commit on base",
        True,
        "base, tag, version, bump, commit, object, before, push, remote",
    ),
    "release.tagged": Kind("the tag exists, base contains it", True, "base, tag, commit, object"),
    "release.pushing": Kind("base and tag are about to be pushed", True, "tag, commit, remote"),
    "release.pushed": Kind("base and tag are at the remote", True, "tag, commit, remote"),
    "release.rejected": Kind("the remote refused the push; nothing changed there", True, "tag, remote, reason"),
    "release.undoing": Kind(
        "a release is about to be taken back, base to before its commit", True, "tag, commit, object, before"
    ),
    "release.undone": Kind("the tag is gone, base without the release's commit", True, "tag, commit"),
    "criterion.checked": Kind("a line of the success checklist was evaluated", True, "name, met, seen"),
    "alert.raised": Kind("a threshold of [alerts] was crossed", True, "rule, level, value, threshold, message"),
    "alert.cleared": Kind("what an alert told of is within its threshold again", True, "rule, value, threshold"),
    "journal.lost": Kind("events that could not be written went to standard error", True, "events"),
    "trust.given": Kind("the user approved commands of the plan", True, "approved, how"),
    "note": Kind("a remark of a script or an agent", False),
}


@dataclass(frozen=True)
class Event:
    """One thing that happened. ``segment`` and ``seq``, its number there, are its id; ``offset`` is in bytes."""

    ts: str
    seq: int
    gen: int
    kind: str
    severity: str
    run: str | None
    build: str | None
    task: str | None
    attempt: int | None
    pid: int
    host: str
    data: dict[str, Any] = field(default_factory=dict)
    segment: str = ""
    offset: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Where it stands among the events of its build."""
        return (self.gen, self.seq)

    def as_json(self) -> dict[str, Any]:
        """The event as it stands in its segment, with its id."""
        return {
            "id": f"{self.segment}:{self.seq}",
            **{k: getattr(self, k) for k in ("ts", "seq", "gen", "kind", "severity", "run", "build", "task")},
            **{k: getattr(self, k) for k in ("attempt", "pid", "host", "data")},
        }


def parse(line: bytes, segment: str, offset: int) -> Event | None:
    """The event on one line of a segment; None when the line is not one.

    The lines of shell hooks are not numbered; where they begin is their number.
    """
    try:
        return event_of(json.loads(line.decode("utf-8")), segment, offset)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def event_of(raw: Any, segment: str, offset: int) -> Event:
    """The event that a line said as JSON; ValueError, KeyError or TypeError when it is none.

    A time without a zone is none: nobody could tell when it was.
    """
    event = Event(
        ts=raw["ts"],
        seq=raw.get("seq", offset),
        gen=raw.get("gen") or 0,
        kind=raw["kind"],
        severity=raw.get("severity") or "info",
        run=raw.get("run"),
        build=raw.get("build"),
        task=raw.get("task"),
        attempt=raw.get("attempt"),
        pid=raw.get("pid") or 0,
        host=raw.get("host") or "",
        data=raw.get("data") or {},
        segment=segment,
        offset=offset,
    )
    # Whoever reads events relies on their types; a line from elsewhere may hold anything.
    texts = (event.ts, event.kind, event.severity, event.host)
    names = (event.run, event.build, event.task)
    if (
        not all(type(text) is str for text in texts)
        or not all(name is None or type(name) is str for name in names)
        or type(event.data) is not dict
        or not (_is_int(event.seq, 63) and _is_int(event.gen, 63) and _is_int(event.pid, 31))
        or not (event.attempt is None or _is_int(event.attempt, 31))
    ):
        raise TypeError("a value of another type")
    if datetime.fromisoformat(event.ts).tzinfo is None:
        raise ValueError("a time of no zone")
    return event


def _is_int(value: Any, bits: int) -> bool:
    return type(value) is int and -(1 << bits) <= value < 1 << bits
