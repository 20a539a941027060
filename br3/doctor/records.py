"""What is kept of the past: the archive of the journal, and whether the newest run can be read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from br3.analytics.inspecting import Finding
from br3.dispatch.attending import state_of
from br3.doctor.patient import Patient
from br3.telemetry.archive import archive_dir, entries, packed_segments
from br3.telemetry.journal import segments
from br3.wording import counted, listed

_MOST_READ_BYTES = 20_000_000


def archive(patient: Patient) -> Iterator[Finding]:
    """Whether every segment is still there and can be read; the newest ones only, when they are many."""
    live = segments(patient.common_dir)  # first: what moves meanwhile is seen twice
    packed = packed_segments(patient.common_dir)
    lost = sorted(name for name in entries(patient.common_dir) if name not in packed and name not in live)
    if lost:
        where = archive_dir(patient.common_dir)
        said = f"{listed(lost, 3)} gone from {where}: their events are in no report once the analytics are made again"
        yield Finding("archive", False, said, "put the files back from a copy")
    damaged, left = [], _MOST_READ_BYTES
    for one in reversed(packed.values()):
        try:
            left -= one.path.stat().st_size
            if left < 0:
                break
            one.read()
        except FileNotFoundError:
            continue  # pruned at this moment
        except (OSError, EOFError, zlib.error):
            damaged.append(str(one.path))
    if damaged:
        yield Finding("archive", False, f"{listed(damaged, 3)} cannot be read", "put the files back from a copy")
    if not lost and not damaged:
        yield Finding("archive", True, counted(len(packed), "segment") if packed else "nothing is archived yet")


def newest_run(patient: Patient) -> Iterator[Finding]:
    """Whether the newest run can be read, and what in its events is not possible."""
    session = patient.session
    if patient.unreadable is not None:
        yield Finding("runs", False, patient.unreadable.message, patient.unreadable.hint)
    elif session is None:
        yield Finding("runs", True, "none yet")
    else:
        problems = session.view.problems
        said = f"{len(patient.runs)}, the newest {session.run} is {state_of(session)}"
        if problems:
            said += f"; {len(problems)} of its events contradict others, such as {problems[0]}"
        yield Finding(
            "runs", True, said, f"br3 telemetry events --run {session.run}" if problems else None, bool(problems)
        )
