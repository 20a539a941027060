"""Landing: what it takes, beside plain git.

    python tests/bench/landing.py [--part conflicts|train]… [-n RUNS]

  conflicts  which of 16 builds would conflict (120 pairs, 16 with base) in a repository of 5,000 files, beside trials
             with `git merge` in a worktree (aims: under 1.5 s cold, under 50 ms cached, ten times as fast as trials)
  train      eight builds of which none, one and two fail, landed with a window of 4, beside one at a time (aims: 0.15,
             0.4 and 0.55 of its time; everything but the tests at most 1.5 times the merges alone; a train of 16
             objects under 0.6 s on 5,000 files)

The parts are described at the heads of landing_conflicts.py and landing_train.py. A figure that misses its aim is
marked, and said once more at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import landing_conflicts
import landing_train
from measuring import Failed, arguments, main, note, scratch
from telemetry_tables import Findings, show_machine


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=5)
    measures: dict[str, Callable[..., None]] = {"conflicts": landing_conflicts.measure, "train": landing_train.measure}
    parser.add_argument("--part", action="append", choices=measures, help="only this one; may be given again")
    options = parser.parse_args()
    findings = Findings()
    with scratch() as place:
        os.environ.clear()
        os.environ.update(place.env)  # for what is called without a command line
        show_machine()
        for part in options.part or measures:
            try:
                measures[part](place, options.runs, findings)
            except Failed as error:
                note(f"{part}: {error}")
                findings.failed.append(f"{part}: {error}")
    print()
    findings.show()
    if findings.failed:
        sys.exit(1)


if __name__ == "__main__":
    main(bench)
