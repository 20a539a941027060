"""Costs of interactive sessions: `br3 costs import` and `br3 costs` beside `ccusage claude daily` on the same files.

    python tests/bench/costs_import.py [-n RUNS] [--mib MIB]

Makes MIB (1024) of Claude Code transcripts, the same ones each time: 2,597 files for a gibibyte, of 105 KB in the
median and 87 MB at most, with a line for each block of an answer, growing counts, sub-agents that replay their
parents and results of tools of up to 3.5 MB; written in four worktrees of one repository. ccusage 20.0.24 is installed
with npm into the scratch directory. In each round br3 imports and reports from nothing, then again when nothing is
new, then ccusage reports. Tokens have to be the same for every model, and dollars to the cent where both know the
price; else the bench fails.

The aims: the first time not slower than ccusage, the second time 15 times as fast, under 350 MB at the peak. The peak
is resident memory of all processes of a command together, looked at every 10 ms in runs of their own.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import psutil
from measuring import BR3, Failed, Row, Scratch, arguments, main, note, scratch, show

from br3.models import canonical

CCUSAGE = "ccusage@20.0.24"
IMPORT = [BR3, "costs", "import", "--json"]
REPORT = [BR3, "costs", "--by", "model", "--json"]
PEAK_MB = 350
FASTER_AGAIN = 15

GIBIBYTE_FILES = 2597
MEDIAN_BYTES = 105 * 1024
LARGEST_BYTES = 87_000_000
SPREAD = 1.6  # of the logarithms of the sizes
BUILDS = ("one", "two", "three")
MODELS = (
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-haiku-4-5-20251001",
)
WORDS = """value result = self.open(path) for line in lines: return None if not found else parsed raise ValueError
    def test_a_build_lands assert status == 200 import json from pathlib import Path the file was not there const
    handler = async (request) => { await next(); } SELECT id, name FROM builds WHERE state""".split()


# The transcripts


@dataclass(frozen=True)
class Answer:
    """One message of a model, as all its lines tell of it."""

    message: str
    request: str
    model: str
    fresh: int
    written: int
    written_1h: int
    read: int
    output: int

    def usage(self, output: int) -> str:
        """The usage on one of its lines."""
        return (
            f'"usage":{{"input_tokens":{self.fresh},"cache_creation_input_tokens":{self.written},'
            f'"cache_read_input_tokens":{self.read},"output_tokens":{output},'
            '"output_tokens_details":{"thinking_tokens":0},'
            '"server_tool_use":{"web_search_requests":0,"web_fetch_requests":0},"service_tier":"standard",'
            f'"cache_creation":{{"ephemeral_1h_input_tokens":{self.written_1h},'
            f'"ephemeral_5m_input_tokens":{self.written - self.written_1h}}},'
            '"inference_geo":"","iterations":[],"speed":"standard","fallback_credit":null}'
        )


@dataclass
class Writer:
    """Writes transcripts below a configuration directory; the same ones for the same seed and places."""

    places: Sequence[tuple[Path, str]]
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    messages: int = 0
    lines: int = 0

    def __post_init__(self) -> None:
        self.passages = [self._passage() for _ in range(4096)]

    def write(self, directory: Path, mib: int) -> None:
        """All files, of ``mib`` MiB together."""
        count = max(2, GIBIBYTE_FILES * mib // 1024)
        largest = min(LARGEST_BYTES, mib << 18)
        sizes = [self.chance.lognormvariate(math.log(MEDIAN_BYTES), SPREAD) for _ in range(count - 1)]
        scale = ((mib << 20) - largest) / sum(sizes)
        sizes = [size * scale for size in sizes]
        sizes.insert(count // 2, largest)
        for number, size in enumerate(sizes):
            if number % 6 == 5:  # of the session before
                path = self.latest.with_suffix("") / "subagents" / f"agent-{self._hex(8)}.jsonl"
                self._file(path, self.latest.stem, size, side=True)
            else:
                self.latest = directory / "projects" / f"-repo-{number % 23}" / f"{self._uuid()}.jsonl"
                self._file(self.latest, self.latest.stem, size, side=False)

    def _file(self, path: Path, session: str, size: float, *, side: bool) -> None:
        place, branch = self.chance.choice(self.places)
        model = self.chance.choice(MODELS)
        at = datetime(2026, 10, 20, tzinfo=UTC) + timedelta(seconds=self.chance.random() * 86400 * 30)
        head = f'"isSidechain":{str(side).lower()},' + (f'"agentId":"{self._hex(8)}",' if side else "")
        tail = (
            f'"userType":"external","entrypoint":"cli","cwd":{json.dumps(str(place))},"sessionId":"{session}",'
            f'"version":"2.1.330","gitBranch":"{branch}"}}\n'
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        cached = 12_000
        with open(path, "w", encoding="ascii", buffering=1 << 20) as out:
            if side and self.chance.random() < 0.5:
                at = self._replay(out, head, tail, at)
            while out.tell() < size:
                at = self._said(out, head, tail, at, long=size > 8e6 and self.chance.random() < 0.0004)
                written = int(self.chance.expovariate(1 / 1800))
                answer = Answer(
                    message=f"msg_{self._hex(24)}",
                    request=f"req_{self._hex(24)}",
                    model=model,
                    fresh=self.chance.randint(1, 900),
                    written=written,
                    written_1h=written if self.chance.random() < 0.3 else 0,
                    read=cached,
                    output=1 + int(self.chance.expovariate(1 / 600)),
                )
                cached = min(cached + written, 180_000)
                blocks = 1 + (self.chance.random() < 0.45) + (self.chance.random() < 0.15)
                at = self._answered(out, head, tail, at, answer, blocks)
                self.messages += 1
        if not side:
            self.parent = answer

    def _said(self, out: TextIO, head: str, tail: str, at: datetime, *, long: bool) -> datetime:
        """What the user said, or the result of a tool, which stands there twice."""
        at += timedelta(seconds=self.chance.random() * 30)
        me, kind = self._uuid(), self.chance.random()
        text = self._text(1_700_000 if long else int(self.chance.expovariate(1 / 1300)))
        if kind < 0.15:
            content, result = f'"{text}"', ""
        else:
            content = f'[{{"tool_use_id":"toolu_{self._hex(24)}","type":"tool_result","content":"{text}"}}]'
            result = f'"toolUseResult":{{"stdout":"{text}","stderr":"","interrupted":false,"isImage":false}},'
        if 0.15 < kind < 0.18:  # of a sub-agent, with a usage that is not this session's
            result = (
                f'"toolUseResult":{{"status":"completed","agentId":"{self._hex(8)}","totalDurationMs":5120,'
                '"totalTokens":30131,"usage":{"input_tokens":4,"cache_creation_input_tokens":1321,'
                '"cache_read_input_tokens":28000,"output_tokens":806}},'
            )
        out.write(
            f'{{"parentUuid":"{me}",{head}"type":"user","message":{{"role":"user","content":{content}}},'
            f'"uuid":"{me}","timestamp":"{_stamp(at)}",{result}{tail}'
        )
        return at

    def _answered(self, out: TextIO, head: str, tail: str, at: datetime, answer: Answer, blocks: int) -> datetime:
        """A line for each block; what was counted is the same on all of them, or grows up to the last."""
        growing = self.chance.random() < 0.3
        for block in range(blocks):
            at += timedelta(milliseconds=self.chance.randint(5, 900))
            me, text = self._uuid(), self._text(int(self.chance.expovariate(1 / 500)))
            content = f'{{"type":"text","text":"{text}"}}'
            if block:
                call = f'"id":"toolu_{self._hex(24)}","name":"Bash"'
                content = f'{{"type":"tool_use",{call},"input":{{"command":"{text}","description":"Do it"}}}}'
            usage = answer.usage(1 if growing and block < blocks - 1 else answer.output)
            out.write(
                f'{{"parentUuid":"{me}",{head}"message":{{"id":"{answer.message}","type":"message",'
                f'"role":"assistant","model":"{answer.model}","content":[{content}],"stop_reason":"tool_use",'
                f'"stop_sequence":null,{usage},"stop_details":null}},"apiBlockIndex":{block},'
                f'"requestId":"{answer.request}","requestRef":"{me}","requestedModel":"{answer.model}",'
                f'"promptCacheRequested":"5m","type":"assistant","uuid":"{me}","timestamp":"{_stamp(at)}",'
                f'"effort":"medium","perTurnEffort":"medium","madeBy":"model",{tail}'
            )
            self.lines += 1
        return at

    def _replay(self, out: TextIO, head: str, tail: str, at: datetime) -> datetime:
        """A message of the parent once more, under another request."""
        copy = replace(self.parent, request=f"req_{self._hex(24)}")
        return self._answered(out, head, tail, at, copy, 1)

    def _text(self, size: int) -> str:
        """Text of about so many bytes, as it stands between quotes in JSON."""
        at, have, parts = self.chance.randrange(len(self.passages)), 0, []
        while have < size:
            parts.append(self.passages[at])
            have += len(parts[-1])
            at = (at + 1) % len(self.passages)
        return "".join(parts)

    def _passage(self) -> str:
        lines = [
            "    " * self.chance.randrange(4) + " ".join(self.chance.choices(WORDS, k=self.chance.randint(2, 14)))
            for _ in range(self.chance.randint(3, 12))
        ]
        return json.dumps("\n".join(lines) + '\n"quoted" \\ and {"usage":{"input_tokens":1}}\n')[1:-1]

    def _hex(self, digits: int) -> str:
        return f"{self.chance.getrandbits(4 * digits):0{digits}x}"

    def _uuid(self) -> str:
        digits = self._hex(32)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


# What is measured


def repository(place: Scratch) -> Path:
    """A repository with linked worktrees."""
    path = place.path / "repo"
    path.mkdir()
    (path / "README.md").write_text("# bench\n")
    place.commit_all(path, "Begin")
    for build in BUILDS:
        place.git(path, "worktree", "add", "--quiet", "-b", f"build/{build}", f"../repo.worktrees/{build}")
    return path


def install_ccusage(place: Scratch) -> str:
    """The path of ccusage. The user's own settings say where npm finds it."""
    if shutil.which("npm") is None:
        raise Failed("npm is not there, so that ccusage cannot be installed")
    directory = place.path / "ccusage"
    directory.mkdir()
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(directory), CCUSAGE]
    done = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"npm cannot install {CCUSAGE}:\n{done.stdout}{done.stderr}")
    return str(directory / "node_modules" / ".bin" / "ccusage")


def forget(repo: Path) -> None:
    """As if nothing had ever been imported."""
    shutil.rmtree(repo / ".git" / "br3", ignore_errors=True)


def peak_mb(place: Scratch, command: Sequence[str], cwd: Path) -> float:
    """The most resident memory that a command and its children had together."""
    child = subprocess.Popen(
        command, cwd=cwd, env=place.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    most, first = 0, psutil.Process(child.pid)
    while child.poll() is None:
        have = 0
        try:
            for process in (first, *first.children(recursive=True)):
                have += process.memory_info().rss
        except psutil.Error:
            continue
        most = max(most, have)
        time.sleep(0.01)
    if child.returncode != 0:
        raise Failed(f"`{' '.join(command)}` ended with exit code {child.returncode}")
    return most / 1e6


def our_totals(place: Scratch, repo: Path) -> dict[str, dict[str, Any]]:
    """What br3 says of each model; ``cost`` is None when a part of it is unknown."""
    told = json.loads(place.read(REPORT, repo))
    return {
        canonical(row["key"]): {
            "tokens": tuple(
                row[name] for name in ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")
            ),
            "cost": None if row.get("unpriced_tokens") or row["cost_usd"] is None else float(row["cost_usd"]),
        }
        for row in told["rows"]
    }


def their_totals(place: Scratch, command: Sequence[str], cwd: Path) -> dict[str, dict[str, Any]]:
    """The same of ccusage."""
    totals: dict[str, dict[str, Any]] = defaultdict(lambda: {"tokens": (0, 0, 0, 0), "cost": 0.0})
    for day in json.loads(place.read(command, cwd))["daily"]:
        for model in day["modelBreakdowns"]:
            entry = totals[canonical(model["modelName"])]
            names = ("inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens")
            entry["tokens"] = tuple(a + model[name] for a, name in zip(entry["tokens"], names, strict=True))
            unknown = model.get("missingPricing") or entry["cost"] is None
            entry["cost"] = None if unknown else entry["cost"] + model["cost"]
    return dict(totals)


def compare(ours: Mapping[str, dict[str, Any]], theirs: Mapping[str, dict[str, Any]]) -> None:
    """Failed unless both say the same of every model; prints what each says it cost."""
    wrong = []
    print(f"{'model':<28}{'tokens':>16}{'br3, USD':>14}{'ccusage, USD':>14}")
    for model in sorted({*ours, *theirs}):
        our, their = ours.get(model, {}), theirs.get(model, {})
        costs = [side.get("cost") for side in (our, their)]
        shown = ["unknown" if cost is None else f"{cost:.2f}" for cost in costs]
        print(f"{model:<28}{sum(our.get('tokens', ())):>16,}{shown[0]:>14}{shown[1]:>14}")
        if our.get("tokens") != their.get("tokens"):
            wrong.append(f"{model}: br3 counts {our.get('tokens')}, ccusage {their.get('tokens')}")
        if None not in costs and abs(costs[0] - costs[1]) >= 0.005:
            wrong.append(f"{model}: br3 {costs[0]:.4f} USD, ccusage {costs[1]:.4f}")
    if wrong:
        raise Failed("the totals differ:\n" + "\n".join(wrong))


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--mib", type=int, default=1024, help="how much of transcripts (default: 1024)")
    options = parser.parse_args()
    with scratch() as place:
        ccusage = install_ccusage(place)
        repo = repository(place)
        places = [(repo, "main"), *((repo.parent / "repo.worktrees" / b, f"build/{b}") for b in BUILDS)]
        config = place.path / "claude"
        place.env.update({"CLAUDE_CONFIG_DIR": str(config), "TZ": "UTC"})
        note(f"writing {options.mib} MiB of transcripts")
        writer = Writer(places)
        writer.write(config, options.mib)
        theirs = [ccusage, "claude", "daily", "--offline", "--json"]
        note(f"{writer.messages:,} messages on {writer.lines:,} lines; comparing what both make of them")
        place.run(IMPORT, repo)
        compare(our_totals(place, repo), their_totals(place, theirs, repo))
        measure(place, repo, theirs, options.runs)


def measure(place: Scratch, repo: Path, theirs: Sequence[str], runs: int) -> None:
    """Time and memory, in turns."""
    other = Row("ccusage")
    first, again = Row("br3, first time", beside=other), Row("br3, second time", beside=other)
    parts = [Row("  costs import"), Row("  costs"), Row("  costs import"), Row("  costs")]
    for number in range(runs):
        note(f"round {number + 1} of {runs}")
        forget(repo)
        spent = [place.run(command, repo) for command in (IMPORT, REPORT, IMPORT, REPORT)]
        for part, took in zip(parts, spent, strict=True):
            part.runs.append(took)
        first.runs.append(spent[0] + spent[1])
        again.runs.append(spent[2] + spent[3])
        other.runs.append(place.run(theirs, repo))
    show([first, *parts[:2], again, *parts[2:], other])
    note("looking at the memory")
    forget(repo)
    peaks = {name: peak_mb(place, command, repo) for name, command in (("import", IMPORT), ("report", REPORT))}
    peaks["import again"] = peak_mb(place, IMPORT, repo)
    print("peak MB: " + ", ".join(f"{name} {peak:,.0f}" for name, peak in peaks.items()), end="")
    print(f"; ccusage {peak_mb(place, theirs, repo):,.0f}")
    aims(first, again, other, max(peaks.values()))


def aims(first: Row, again: Row, other: Row, peak: float) -> None:
    """Say which of the aims are met, by wall time."""
    theirs = statistics.median(spent.wall for spent in other.runs)
    once, twice = (theirs / statistics.median(spent.wall for spent in row.runs) for row in (first, again))
    for met, what in (
        (once >= 1, f"the first time not slower: {once:.2f}x as fast"),
        (twice >= FASTER_AGAIN, f"the second time {FASTER_AGAIN}x as fast: {twice:.1f}x"),
        (peak < PEAK_MB, f"under {PEAK_MB} MB: {peak:,.0f} MB"),
    ):
        print(f"{'met    ' if met else 'NOT MET'}  {what}")


if __name__ == "__main__":
    main(bench)
