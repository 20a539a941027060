"""Agents: how close together four of them start, and what reading their output costs.

    python tests/bench/agents.py [-n RUNS] [--mb MB]

Starts: four builds, a trivial set-up, four places; the time between the first and the last agent's first moment, beside
that of four processes that a shell script starts at once. The aim is under 0.3 s. Reading: MB megabytes (200) of short
lines and of one line, as Claude Code prints them, followed to the end; the CPU it takes, beside `wc` of the same file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from measuring import BR3, Row, Scratch, Spent, arguments, main, note, scratch, show

BUILDS = ("one", "two", "three", "four")
STAMP = "import os, sys, time; open(sys.argv[1], 'w').write(repr(time.time()))"

PLAN = """\
[plan]
name = "bench"
[setup]
run = ["true"]
[defaults]
agent = "shell"
[verify]
run = ["true"]
"""
BUILD = """
[[build]]
id = "{build}"
command = '''{python} -c "{stamp}" {times}/{build}; echo {build} > {build}.txt'''
"""

READ = """\
import sys
from pathlib import Path
from br3.agents import Request, agent
from br3.agents.process import Running, watch
directory = Path(sys.argv[1])
reader = agent("claude").reader(Request(directory / "p", directory / "u", directory, "auto", "s"))
watch(Running(directory, "none"), reader, lambda: None)
"""


def starts(space: Scratch, number: int) -> tuple[Spent, Spent]:
    """Seconds from the first to the last of four: br3's agents, a script's processes."""
    root = space.path / f"starts-{number}"
    repository, times, plain = root / "repo", root / "times", root / "plain"
    for directory in (repository, times, plain):
        directory.mkdir(parents=True)
    text = PLAN + "".join(
        BUILD.format(build=build, python=sys.executable, stamp=STAMP, times=times) for build in BUILDS
    )
    (repository / "br3.toml").write_text(text)
    space.commit_all(repository, "begin")
    whole = space.run([BR3, "run", "--trust"], repository)
    script = "".join(f'{sys.executable} -c "{STAMP}" {plain}/{build} &\n' for build in BUILDS) + "wait\n"
    beside = space.run(["sh", "-c", script], repository)
    return Spent(spread(times), whole.cpu), Spent(spread(plain), beside.cpu)


def spread(directory: Path) -> float:
    """From the first to the last time that was written there."""
    found = [float(path.read_text()) for path in directory.iterdir()]
    assert len(found) == len(BUILDS)
    return max(found) - min(found)


def written(space: Scratch, name: str, mb: int) -> Path:
    """A directory of an attempt whose agent has printed so much."""
    directory = space.path / name
    directory.mkdir()
    with (directory / "stdout.log").open("wb") as out:
        if name == "one line":
            out.write(b'{"type":"user","message":"' + b"x" * (mb << 20) + b'"}\n')
        else:
            line = b'{"type":"stream_event","event":{"type":"content_block_delta","delta":{"text":"some words"}}}\n'
            for _ in range(mb):
                out.write(line * ((1 << 20) // len(line)))
    (directory / "exit").write_text("0\n")
    return directory


def bench() -> None:
    """Run it."""
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--mb", type=int, default=200)
    options = parser.parse_args()
    with scratch() as space:
        script = Row("four processes of a script")
        agents = Row("four agents of br3 run", beside=script)
        for number in range(options.runs):
            note(f"starts {number + 1} of {options.runs}")
            ours, theirs = starts(space, number)
            agents.runs.append(ours)
            script.runs.append(theirs)
        rows = [agents, script]
        for name in ("short lines", "one line"):
            directory = written(space, name, options.mb)
            words = Row(f"wc, {name}")
            reading = Row(f"reading {options.mb} MB, {name}", beside=words)
            for number in range(options.runs):
                note(f"{name} {number + 1} of {options.runs}")
                reading.runs.append(space.run([sys.executable, "-c", READ, str(directory)], space.path))
                words.runs.append(space.run(["wc", str(directory / "stdout.log")], space.path))
            rows += [reading, words]
        show(rows, digits=3)


if __name__ == "__main__":
    main(bench)
