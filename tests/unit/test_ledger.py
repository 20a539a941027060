"""What has been spent, as it grows: by a lineage and by a day, also when segments go to the archive meanwhile."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from br3.orchestrator import ledger
from br3.orchestrator.ledger import Ledger
from br3.telemetry import Journal, archive
from br3.telemetry.journal import now, segments

NOBODY = (None, None, None, None)


def spend(journal: Journal, cost: str | None, *, run: str = "r1", build: str = "a", attempt: int = 1) -> None:
    journal.append("usage.recorded", "info", run, build, "1", attempt, gen=1, cost_usd=cost, model="m")


def pack_all(common_dir: Path) -> None:
    for name, entry in segments(common_dir).items():
        assert archive.pack(common_dir, name, entry.stat().st_size)


def test_sums_are_of_the_lineage_of_the_builds_and_without_the_attempt_itself(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        spend(journal, "1")
        spend(journal, "2", build="b")
        spend(journal, "4", run="r0")
        spend(journal, "8", run="x")
        spend(journal, "16", attempt=2)
        spend(journal, None)
    seen = Ledger(tmp_path, ["a", "b"])
    seen.look()
    assert seen.of_lineage(["r1", "r0"], ["a", "b"], but=NOBODY) == Decimal(23)
    assert seen.of_lineage(["r1", "r0"], ["a"], but=("r1", "a", "1", 2)) == Decimal(5)
    assert seen.of_day(now()[:10], but=("r1", "a", "1", 2)) == Decimal(15)
    assert seen.of_day("2001-02-03", but=NOBODY) == 0


def test_what_comes_later_is_counted_once_and_what_was_read_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Journal(tmp_path)) as first, closing(Journal(tmp_path)) as second:
        spend(first, "1")
        seen = Ledger(tmp_path, ["a"])
        seen.look()
        monkeypatch.setattr(ledger, "read_events", None)  # would be called to begin anew
        for _ in range(2):
            spend(first, "1")
            spend(second, "1")
            seen.look()
            seen.look()
        assert seen.of_lineage(["r1"], ["a"], but=NOBODY) == Decimal(5)


@pytest.mark.parametrize("read_before", [True, False])
def test_nothing_is_lost_or_counted_twice_when_segments_go_to_the_archive(tmp_path: Path, read_before: bool) -> None:
    with closing(Journal(tmp_path)) as journal:
        journal.append("run.created", "info", "r1", gen=1, builds=["a"])
        spend(journal, "1")
        seen = Ledger(tmp_path, ["a"])
        if read_before:
            seen.look()
        spend(journal, "2")
    pack_all(tmp_path)
    with closing(Journal(tmp_path)) as journal:
        spend(journal, "4")
    seen.look()
    assert seen.of_lineage(["r1"], ["a"], but=NOBODY) == Decimal(7)
    assert seen.of_day(now()[:10], but=NOBODY) == Decimal(7)


def test_a_day_that_lies_in_the_archive_is_found(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        spend(journal, "3", run="old", build="gone")
    day = now()[:10]
    pack_all(tmp_path)
    seen = Ledger(tmp_path, ["a"])
    seen.look()
    assert seen.of_day(day, but=NOBODY) == Decimal(3)
