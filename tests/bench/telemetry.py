"""Telemetry: appending, folding and asking, beside what one would use instead of br3.

    python tests/bench/telemetry.py [--part append|fold|reports|readers|memory]… [-n RUNS] [--events N] [--seconds S]

  append   latency of one event with 1, 8 and 32 writers, beside SQLite, DuckDB and a JSON list
           (aim: p99 under 100 µs with 32 writers)
  fold     a journal of N events into DuckDB, beside bare read_json (aim: at least 0.6 times its rate) and SQLite
  reports  the usual reports over N and 10 N events (aim: each under 100 ms over 10 N)
  readers  16 readers in a loop beside the fold (aim: its worst wait under 300 ms)
  memory   the peak of folding 10 N events from nothing (aim: under 512 MB)

N is a million; the aims are meant for that. All parts together take a quarter of an hour and about 10 GB of disk below
TMPDIR. The parts are described at the head of telemetry_append.py, telemetry_fold.py, telemetry_reports.py and
telemetry_readers.py, the events in telemetry_events.py. A figure that misses its aim is marked, and said once more at
the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import telemetry_append
import telemetry_fold
import telemetry_readers
import telemetry_reports
from measuring import Failed, arguments, main, note, scratch
from telemetry_events import see_that_they_replay
from telemetry_tables import Findings, show_machine

# What an environment usually holds: appending looks for their values in each event.
_KEYS = {"ANTHROPIC_API_KEY": "bench-key-0123456789abcdef", "GITHUB_TOKEN": "bench-0123456789abcdef"}


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=3)
    parts = ("append", "fold", "reports", "readers", "memory")
    parser.add_argument("--part", action="append", choices=parts, help="only this one; may be given again")
    parser.add_argument("--events", type=int, help="how many instead of a million, to try it out")
    parser.add_argument("--seconds", type=float, default=10, help="the most for a round of append (default: 10)")
    options = parser.parse_args()
    findings = Findings()
    with scratch() as place:
        place.env.update(_KEYS)
        os.environ.clear()
        os.environ.update(place.env)  # for the processes that are started without a command line
        show_machine()
        small, large = (telemetry_fold.Ground(place, (options.events or 1_000_000) * times) for times in (1, 10))
        wanted: dict[str, Callable[[], None]] = {
            "append": lambda: telemetry_append.measure(place, options.runs, options.events, options.seconds, findings),
            "fold": lambda: telemetry_fold.measure_fold(small, options.runs, findings),
            "reports": lambda: telemetry_reports.measure((small, large), options.runs, findings),
            "readers": lambda: telemetry_readers.measure(small, findings),
            "memory": lambda: telemetry_fold.measure_memory(large, findings),
        }
        if set(options.part or parts) != {"append"}:
            note("seeing that the events replay")
            see_that_they_replay(place.path / "replay")
        for part in parts:
            if part in (options.part or parts):
                _do(part, wanted[part], findings)
    print()
    findings.show()
    if findings.failed:
        sys.exit(1)


def _do(part: str, measure: Callable[[], None], findings: Findings) -> None:
    """One part; what it cannot measure does not keep the others from theirs."""
    try:
        measure()
    except Failed as error:
        note(f"{part}: {error}")
        findings.failed.append(f"{part}: {error}")


if __name__ == "__main__":
    main(bench)
