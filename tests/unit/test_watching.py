"""Decisions about orchestrators and the machine: restarts, silence, time that counts, how many at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from br3.dispatch.watching import LEAST_FREE_BYTES, Free, Restarts, Signs, least_free
from br3.plan.jobs import decided
from br3.workspace.waking import Awake

GB = 1_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_time_that_a_machine_sleeps_does_not_count() -> None:
    clock = Clock()
    awake = Awake(clock)
    clock.at += 3
    assert awake.now() == 3
    clock.at += 8 * 3600
    assert awake.now() == 8
    clock.at -= 50
    assert awake.now() == 8


def test_time_that_is_held_does_not_count() -> None:
    clock = Clock()
    awake = Awake(clock)
    clock.at += 2
    awake.now()
    awake.held = True
    clock.at += 4
    assert awake.now() == 2
    awake.held = False
    clock.at += 1
    assert awake.now() == 3


def test_restarts_wait_longer_each_time_and_end_with_the_third() -> None:
    restarts = Restarts()
    assert [restarts.ended(0, 10.0) for _ in range(4)] == [0.5, 2.0, 8.0, None]


def test_an_orchestrator_that_gets_something_done_may_die_again() -> None:
    restarts = Restarts()
    assert [restarts.ended(done, 0.0) for done in (0, 0, 1, 1, 2)] == [0.5, 2.0, 0.5, 2.0, 0.5]


def test_silence_is_told_once_and_then_ended_once() -> None:
    signs = Signs()
    signs.heard("a", 0.0)
    assert signs.silent("a", 119.0) is None
    assert signs.silent("a", 121.0) == (121.0, False)
    assert signs.silent("a", 150.0) is None
    assert signs.silent("a", 181.0) == (181.0, True)
    assert signs.silent("a", 182.0) is None
    signs.heard("a", 200.0)
    assert signs.silent("a", 319.0) is None


@pytest.mark.parametrize(
    ("cores", "memory", "disk", "jobs"),
    [(2, 16 * GB, 100 * GB, 4), (8, 6 * GB, 100 * GB, 4), (8, 64 * GB, 4 * GB, 3), (64, 512 * GB, 999 * GB, 16)],
)
def test_jobs_are_decided_by_the_scarcest_of_cores_memory_and_disk(
    cores: int, memory: int, disk: int, jobs: int
) -> None:
    assert decided(cores, memory, disk) == jobs


def test_one_build_can_always_be_made() -> None:
    assert decided(1, 0, 0) == 1


def test_a_disk_is_low_by_its_bytes_or_by_the_files_that_can_be_made(tmp_path: Path) -> None:
    assert not Free(LEAST_FREE_BYTES, tmp_path).is_low and not Free(LEAST_FREE_BYTES, tmp_path, 10_000).is_low
    assert Free(LEAST_FREE_BYTES - 1, tmp_path).is_low
    assert Free(10 * LEAST_FREE_BYTES, tmp_path, 9_999).is_low


def test_the_disk_is_asked_where_the_nearest_directory_is(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = least_free([tmp_path / "not" / "there"])
    assert free.path == tmp_path and free.bytes > 0
    assert (free.files is None) == (disk.f_files == 0)
