"""What a run costs while it waits: a dispatcher and its orchestrators, whose agents sleep.

    python tests/bench/waiting.py [--builds N] [--seconds S]

A run of N builds (32) with the agent `shell`, each of which sleeps, is started with `br3 run --detach`. Once all are at
work the CPU time that the dispatcher, the orchestrators and what they start take within S seconds (20) is read from
/proc, and their memory: resident (RSS, shared pages counted each time) and proportional (PSS). The agents themselves
are left out. The aims: under 1 GB and under 5 % of one core, all together. Linux only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import BR3, Failed, Scratch, arguments, main, note, scratch

PLAN = """\
[plan]
name = "bench"
jobs = {builds}
[setup]
[verify]
run = ["true"]
[defaults]
agent = "shell"
command = "exec sleep 3600"
"""
BUILD = '[[build]]\nid = "b{number}"\n'
_TICKS = os.sysconf("SC_CLK_TCK")


def of_br3(home: Path) -> Iterator[tuple[int, str]]:
    """The processes of br3 for a repository, with what each is."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(home).encode() in words or str(home / ".git").encode() in words:
            yield int(entry.name), "orchestrator" if b"br3.orchestrator" in words else "dispatcher"


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def memory(pid: int) -> tuple[int, int]:
    """RSS and PSS in bytes."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(told["Rss"].split()[0]) * 1024, int(told["Pss"].split()[0]) * 1024


def at_work(place: Scratch, home: Path, builds: int) -> bool:
    """Whether each build's agent has been started."""
    said = json.loads(place.read([BR3, "status", "--json"], home))
    return sum(bool(task["attempts"]) for build in said["builds"] for task in build["tasks"]) == builds


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--builds", type=int, default=32, help="builds at once (default: 32)")
    parser.add_argument("--seconds", type=float, default=20, help="for how long it is looked at (default: 20)")
    options = parser.parse_args()
    with scratch() as place:
        home = place.path / "repo"
        home.mkdir()
        (home / "README.md").write_text("# bench\n")
        text = PLAN.format(builds=options.builds) + "".join(BUILD.format(number=n) for n in range(options.builds))
        (home / "br3.toml").write_text(text)
        place.commit_all(home, "Begin")
        place.run([BR3, "run", "--trust", "--detach"], home)
        try:
            note(f"{options.builds} builds are being started")
            while not at_work(place, home, options.builds):
                time.sleep(1)
            time.sleep(5)  # until the last one rests
            pids = dict(of_br3(home))
            if list(pids.values()).count("orchestrator") != options.builds:
                raise Failed(f"{options.builds} orchestrators were expected, seen: {list(pids.values())}")
            before = {pid: cpu_s(pid) for pid in pids}
            began = time.monotonic()
            time.sleep(options.seconds)
            took_s = time.monotonic() - began
            spent = {pid: cpu_s(pid) - before[pid] for pid in pids}
            sizes = {pid: memory(pid) for pid in pids}
        finally:
            place.run([BR3, "cancel"], home)
    print(f"{'':14}{'processes':>10}{'RSS':>10}{'PSS':>10}{'of a core':>11}")
    for role in ("dispatcher", "orchestrator", "all"):
        mine = [pid for pid, what in pids.items() if role in ("all", what)]
        rss, pss = (sum(sizes[pid][i] for pid in mine) / 1e6 for i in (0, 1))
        share = 100 * sum(spent[pid] for pid in mine) / took_s
        print(f"{role:14}{len(mine):>10}{rss:>7.0f} MB{pss:>7.0f} MB{share:>9.2f} %")


if __name__ == "__main__":
    main(bench)
