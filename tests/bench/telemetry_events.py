"""The benches' journal: many runs of four builds with their chatter, as br3 writes them; always the same ones.

No bench by itself. A writer here stands for all processes of its runs: it takes one run after the other over 90 days,
counts ``seq`` up and begins a new segment at every megabyte, as the rotation does. About a third of the events change
states and replay without a problem; the rest is chatter (hooks 40 %, notes 15 %). An event has about 340 bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from measuring import Failed

from br3.telemetry.journal import Follower, journal_dir
from br3.telemetry.replay import replay

DAYS = 90
BYTES_PER_EVENT = 350  # about; for the question whether the disk is large enough
_SEGMENT_BYTES = 1_000_000
_EVENTS_PER_WRITER = 125_000
_SECOND = 1_000_000  # times here are whole microseconds since 1970
_NO_PROCESS = 5_000_000  # above every process id that there can be, so that each writer is seen to be gone

_HOST = "workstation"
_BUILDS = """persistence gateway scheduler billing search onboarding exporter notifications audit-log docs-site
metrics sessions importer permissions cache webhooks""".split()
_TITLES = """Cost tracking database|Retry of failed deliveries|Migration of the settings|Paging of long lists|Typed
errors|Rate limits per tenant|Import of the old archive|Index for the full text|Clock of the scheduler|Audit of each
change""".replace("\n", " ").split("|")
_HOOKS = "pre-commit commit-msg post-commit reference-transaction pre-push post-checkout".split()
_NOTES = (
    "ran 34 tests of tests/test_{0}.py, 2 skipped; looking at core/{0}/store.py next",
    "core/{0}/store.py opens a connection for each call; moving it to the pool of core/pool.py",
    "the schema of {0} has no index on created_at, so the listing reads the whole table",
    "mypy: 3 errors left in core/{0}/model.py, all from the optional tenant",
    "waiting for the test database to come up",
)
_ERRORS = (
    "the agent's stream broke off: connection reset by peer",
    "git commit ended with 1: pre-commit found trailing spaces in core/{0}/api.py",
    "pytest could not be started: No module named pytest_asyncio",
)
# Dollars per million tokens, in cents: input, output, cache write, cache read; None: nobody knows the price.
_MODELS: tuple[tuple[str, str, tuple[int, int, int, int] | None], ...] = (
    ("claude", "claude-sonnet-5-5", (200, 1000, 250, 20)),
    ("claude", "claude-opus-5-5", (400, 2000, 500, 20)),
    ("claude", "claude-haiku-5-5", (10, 50, 12, 1)),
    ("codex", "gpt-5.5-codex", (125, 1000, 125, 12)),
    ("opencode", "qwen-3-coder-local", None),
)
_CAUSES = "timeout rate_limit overloaded context verification".split()


@dataclass(frozen=True)
class Made:
    """What was written: how many events, how many bytes, and the segments, oldest writer first."""

    events: int
    size: int
    segments: tuple[Path, ...]


def make(common_dir: Path, events: int, *, seed: int = 1, ends: datetime | None = None) -> Made:
    """Write that many events into the journal of ``common_dir``, with all cores. They end at ``ends``, else now."""
    directory = journal_dir(common_dir)
    directory.mkdir(parents=True, exist_ok=True)
    end = int((ends or datetime.now(UTC)).timestamp()) * _SECOND
    writers = max(2, -(-events // _EVENTS_PER_WRITER))
    counts = [events // writers + (number < events % writers) for number in range(writers)]
    write = partial(_write, directory, seed, end)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        segments = tuple(path for found in pool.map(write, range(writers), counts) for path in found)
    return Made(events, sum(path.stat().st_size for path in segments), segments)


def join(segments: Sequence[Path], file: Path) -> None:
    """The same bytes as one file, for those who read one."""
    with file.open("wb") as whole:
        for path in segments:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)


def see_that_they_replay(common_dir: Path, events: int = 20_000) -> None:
    """Failed unless events as made here are whole and br3's own replay finds no fault with them."""
    make(common_dir, events)
    found = Follower(common_dir).poll()
    problems = [problem for view in replay(found).values() for problem in view.problems]
    if len(found) != events or problems:
        raise Failed(f"{len(found)} of {events} events can be read, {len(problems)} problems: {problems[:3]}")


def _write(directory: Path, seed: int, end: int, number: int, count: int) -> list[Path]:
    """One writer's segments."""
    writer = _Writer(random.Random(f"{seed}-{number}"), _NO_PROCESS + number)
    per_run = 280  # about, to spread the runs over the days
    gap = DAYS * 86_400 * _SECOND // max(1, count // per_run)
    at = end - DAYS * 86_400 * _SECOND
    paths: list[Path] = []
    lines: list[str] = []
    size = seq = 0
    while seq < count:
        events = writer.run(at, min(gap * 9 // 10, 5400 * _SECOND))
        at += gap
        for moment, before, after in events[: count - seq]:
            seq += 1
            line = f'{{"ts":"{writer.clock(moment)}","seq":{seq},{before}{after}}}}}\n'
            lines.append(line)
            size += len(line)
            if size >= _SEGMENT_BYTES:
                paths.append(_segment(directory, writer, lines))
                lines, size = [], 0
        at = max(at, events[-1][0] + _SECOND)
        if at > end - gap:  # a few runs more than there is time for: let them go on from an earlier day
            at = end - DAYS * 86_400 * _SECOND + gap // 2
    if lines:
        paths.append(_segment(directory, writer, lines))
    return paths


def _segment(directory: Path, writer: _Writer, lines: list[str]) -> Path:
    start = datetime.fromisoformat(lines[0][7:34])
    path = directory / f"{start:%Y%m%dT%H%M%S}-{writer.pid}-{writer.hex(24)}.jsonl"
    path.write_text("".join(lines), encoding="ascii")
    return path


Pending = tuple[int, str, str]
"""When, and the two halves of what follows ``seq`` in its line."""


class _Writer:
    """Makes runs. Every call of ``run`` is another one; locks' generations go up from run to run."""

    def __init__(self, rng: random.Random, pid: int) -> None:
        self.rng = rng
        self.pid = pid
        self.gen = 0
        self.minutes: dict[int, str] = {}

    def clock(self, moment: int) -> str:
        """RFC 3339 with microseconds."""
        minute, rest = divmod(moment, 60 * _SECOND)
        shown = self.minutes.get(minute)
        if shown is None:
            began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
            shown = self.minutes[minute] = began.strftime("%Y-%m-%dT%H:%M:")
        return f"{shown}{rest // _SECOND:02d}.{rest % _SECOND:06d}Z"

    def hex(self, bits: int) -> str:
        return f"{self.rng.getrandbits(bits):0{bits // 4}x}"

    def below(self, limit: int) -> int:
        """Faster than randrange."""
        return int(self.rng.random() * limit)

    def run(self, began: int, length: int) -> list[Pending]:
        """All events of one run of four builds that takes ``length``, by time."""
        self.gen += 2
        began += self.below(_SECOND)
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=began)
        run = f"{start:%Y%m%d-%H%M%S}-{self.hex(16)}"
        names = self.rng.sample(_BUILDS, 4)
        base = self.hex(160)
        builds = "[" + ",".join(f'"{name}"' for name in names) + "]"
        of_run = f'"run":"{run}","build":null,"task":null,"attempt":null,"pid":{self.pid},"host":"{_HOST}","data":{{'
        events: list[Pending] = []

        def say(moment: int, kind: str, data: str, severity: str = "info") -> None:
            events.append((moment, f'"gen":1,"kind":"{kind}","severity":"{severity}",', of_run + data))

        plan = f'"plan":"week-{self.below(52)}","digest":"{self.hex(96)}"'
        created = f'{plan},"base":"main","base_commit":"{base}","builds":{builds},"continues":null'
        say(began, "run.created", created)
        say(began + 4_000, "run.started", f'"jobs":4,"selected":{builds}')
        last = began
        failed = []
        for name in names:
            build = _Build(self, run, name, base, began + 10_000 + self.below(length // 50 + 1), length * 9 // 10)
            events += build.events
            last = max(last, build.events[-1][0])
            if not build.verified:
                failed.append(name)
        if failed:
            say(last + 50_000, "run.failed", f'"reason":"not verified: {", ".join(failed)}"', "error")
        else:
            say(last + 50_000, "run.completed", "")
            self._land(say, last + 60_000, base, builds)
        events.sort()
        return events

    def _land(self, say: Callable[[int, str, str], None], moment: int, base: str, builds: str) -> None:
        new = self.hex(160)
        say(moment, "landing.started", f'"base":"main","base_commit":"{base}","order":{builds}')
        moved = f'"base":"main","old":"{base}","new":"{new}","builds":{builds}'
        say(moment + 40_000, "landing.intent", f'"checkout":["/home/dev/shop"],{moved}')
        say(moment + 55_000, "landing.moved", moved)
        say(moment + 90_000, "landing.completed", f'"base":"main","new":"{new}"')


class _Build:
    """The events of one build of one run."""

    def __init__(self, writer: _Writer, run: str, name: str, base: str, began: int, length: int) -> None:
        self.writer = writer
        self.name = name
        self.events: list[Pending] = []
        self.verified = True
        self.gen = writer.gen - 1  # who prepares and who orchestrates take the lock one after the other
        self.of_build = f'"run":"{run}","build":"{name}",'
        self.by = f'"pid":{writer.pid},"host":"{_HOST}","data":{{'
        self.path = f"/home/dev/shop.worktrees/{name}"
        self.directory = f"/home/dev/shop/.git/br3/runs/{run}/{name}"
        self.task: str | None = None
        self.attempt: int | None = None
        self.at = began
        tasks = 2 + writer.below(3)
        self.pace = length // (tasks * 16 + 12)
        self._prepare(base)
        for number in range(tasks):
            if not self._do_task(f"{name[0].upper()}.{number + 1}"):
                return
        self._verify()

    def say(self, kind: str, data: str = "", severity: str = "info") -> None:
        """One event of the build, of its task and attempt where it is at one; chatter comes with some of them."""
        self.at += 1 + int(self.pace * self.writer.rng.random())
        task = "null" if self.task is None else f'"{self.task}"'
        where = f'"task":{task},"attempt":{"null" if self.attempt is None else self.attempt},'
        head = f'"gen":{self.gen},"kind":"{kind}","severity":"{severity}",'
        self.events.append((self.at, head, f"{self.of_build}{where}{self.by}{data}"))

    def _prepare(self, base: str) -> None:
        writer = self.writer
        self.say("build.preparing")
        self.say("worktree.created", f'"path":"{self.path}","branch":"build/{self.name}","start":"{base}"')
        took = f"{writer.below(9)}.{writer.below(1000):03d}"
        how = '"how":"created","environment":"made"'
        self.say("worktree.ready", f'"path":"{self.path}","duration_s":{took},{how}')
        self.gen += 1
        self.say("build.started", f'"start":"{base}","branch":"build/{self.name}","worktree":"{self.path}"')

    def _do_task(self, task: str) -> bool:
        writer = self.writer
        self.task = task
        title = _TITLES[writer.below(len(_TITLES))]
        self.say("task.started", f'"title":"{title}","digest":"{writer.hex(96)}"')
        choice = min(writer.below(5), writer.below(5))
        for self.attempt in (1, 2, 3):
            cause = None if writer.rng.random() < 0.86 else _CAUSES[writer.below(len(_CAUSES))]
            self._try(cause, choice)
            choice = (choice + 1) % len(_MODELS)
            if cause is None:
                self.attempt = None
                self.say("task.completed", f'"commit":"{writer.hex(160)}"')
                self.task = None
                return True
        self.attempt = None
        reason = f'"cause":"{cause}","reason":"the agent ended with {cause}"'
        self.say("task.failed", reason, "error")
        self.task = None
        self._fail(f'"cause":"{cause}","reason":"task {task}: the agent ended with {cause}"')
        return False

    def _try(self, cause: str | None, choice: int) -> None:
        writer = self.writer
        agent, model, _ = _MODELS[choice]
        why = "the cheapest that did such tasks before" if self.attempt == 1 else "the last one failed"
        self.say("model.selected", f'"model":"{model}","reason":"{why}"')
        head, tree = writer.hex(160), writer.hex(160)
        session = f"{writer.hex(32)}-{writer.hex(16)}-{writer.hex(16)}-{writer.hex(16)}-{writer.hex(48)}"
        where = f'"directory":"{self.directory}/{self.task}-{self.attempt}","session":"{session}"'
        started = f'"agent":"{agent}","model":"{model}",{where},"head":"{head}","tree":"{tree}"'
        self.say("attempt.started", started)
        self._chatter(cause)
        self._use(choice)
        if writer.rng.random() < 0.3:
            self._use(2)  # a small helper model beside the large one
        words = [f'"{name}":"{writer.hex(160)}"' for name in ("head", "head_tree", "tree")]
        left = f'{",".join(words)},"branch":"build/{self.name}","when":"{writer.clock(self.at)}"'
        if cause is None:
            report = f'"why":"","exit_code":0,{left},"report":"Done: {_TITLES[choice].lower()} in core/{self.name}."'
            self.say("attempt.finished", f'"outcome":"succeeded","cause":null,{report}')
        else:
            report = f'"why":"the agent ended with {cause}","exit_code":1,{left},"report":""'
            self.say("attempt.finished", f'"outcome":"failed","cause":"{cause}",{report}', "warning")

    def _use(self, choice: int) -> None:
        writer = self.writer
        _, model, prices = _MODELS[choice]
        tokens = (
            writer.below(20_000),
            500 + writer.below(30_000),
            writer.below(200_000),
            writer.below(3_000_000),
        )
        cost = "null"
        if prices is not None:
            hundred_millionths = sum(count * price for count, price in zip(tokens, prices, strict=True))
            cost = f'"{hundred_millionths // 10**8}.{hundred_millionths % 10**8:08d}"'
        names = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")
        counts = ",".join(f'"{name}":{count}' for name, count in zip(names, tokens, strict=True))
        self.say("usage.recorded", f'"model":"{model}",{counts},"cost_usd":{cost},"source":"agent"')

    def _chatter(self, cause: str | None) -> None:
        writer = self.writer
        for _ in range(5 + writer.below(6)):
            hook = _HOOKS[writer.below(len(_HOOKS))]
            where = f'"branch":"build/{self.name}","worktree":"{self.path}"'
            self.say("hook.ran", f'"hook":"{hook}","commit":"{writer.hex(160)}",{where}')
        for _ in range(1 + writer.below(5)):
            text = _NOTES[writer.below(len(_NOTES))].format(self.name)
            self.say("note", f'"text":"{text}","source":"agent","step":{writer.below(400)}')
        if writer.rng.random() < 0.4:
            text = _ERRORS[writer.below(len(_ERRORS))].format(self.name)
            self.say("error.occurred", f'"message":"{text}"', "error")
        if cause == "rate_limit" or writer.rng.random() < 0.25:
            self.say("rate_limit.hit", f'"retry_after_s":{5 + writer.below(120)}', "warning")
        if cause == "timeout":
            self.say("timeout.occurred", '"what":"attempt","limit_s":7200', "error")
        if writer.rng.random() < 0.01:
            self.say("security.violation", '"rule":"secret in a staged file"', "critical")
        if writer.rng.random() < 0.02:
            self.say("performance.degraded", '"what":"verification","factor":2.4', "warning")

    def _verify(self) -> None:
        writer = self.writer
        commit, tree = writer.hex(160), writer.hex(160)
        digests = f'"commands":"{writer.hex(96)}","environment":"{writer.hex(96)}"'
        self.say("build.verifying", f'"commit":"{commit}"')
        passed = 18 + writer.below(200)
        run = f"pytest tests/test_{self.name}.py -v"
        ended = (
            f'"results":[{{"run":"{run}","exit_code":0,"duration_s":{writer.below(90)}.5}}],"left":{{}},"warnings":[]'
        )
        where = f'"tree":"{tree}","commit":"{commit}",{digests}'
        if writer.rng.random() < 0.03:
            tests = f'"tests":{{"passed":{passed - 2},"failed":2,"skipped":0}},"coverage":null'
            reason = f'"reason":"{run}: 2 tests failed"'
            self.say("quality.failed", f"{where},{tests},{ended},{reason}", "error")
            self._fail(f'"cause":"verification","reason":"{run}: 2 tests failed"')
            return
        tests = (
            f'"tests":{{"passed":{passed},"failed":0,"skipped":{writer.below(4)}}},"coverage":{80 + writer.below(20)}'
        )
        self.say("quality.passed", f"{where},{tests},{ended}")
        self.say("build.verified", f'"commit":"{commit}","tree":"{tree}"')

    def _fail(self, data: str) -> None:
        self.verified = False
        self.say("build.failed", f'{data},"log":null,"hint":null', "error")
