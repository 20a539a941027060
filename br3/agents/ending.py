"""Leaves no process of an agent behind.

Agents start their tools in sessions of their own, so a process group does not hold them. Most inherit the build's mark;
a tool that cleared its environment is still a descendant: on Linux this process is made a subreaper, so that what lost
its parent becomes a child of this process instead of init's. Elsewhere the mark alone has to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Collection, Iterable

from br3.workspace import children

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_is_subreaper = False

_ROUNDS = 6  # each ends what was forked while the one before looked
_LATE_S = 0.5
_SHIM_S = 1.0  # to write the status


def become_subreaper() -> bool:
    """Make this process the parent of its descendants' orphans; returns whether it is. Linux only."""
    global _is_subreaper
    if not _is_subreaper and _LIBC is not None:
        _is_subreaper = _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    return _is_subreaper


def in_the_shim() -> None:
    """To be called between fork and exec of the shim: orphans of the agent become its children.

    The shim carries the mark, so they are found by it as long as the agent lives, also when this process was killed.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_now() -> frozenset[int]:
    """The ids of this process's own children."""
    import psutil

    return frozenset(child.pid for child in psutil.Process().children())


def reap(spared: Collection[int]) -> None:
    """Take the statuses of orphans that have ended; those of ``spared`` are left to whoever started them.

    Without a subreaper there are none to take, nor, on macOS before Python 3.13, ``os.waitid``.
    """
    while _is_subreaper:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in spared:
            return
        try:
            os.waitpid(ended.si_pid, os.WNOHANG)
        except ChildProcessError:
            return


def left_of(mark: str, spared: Collection[int] | None) -> list[int]:
    """What lives of an agent: all that carries ``mark``, and this process's descendants but those of ``spared``.

    With None none of the descendants is the agent's.
    """
    import psutil

    found = set(children.marked(mark))
    if _is_subreaper and spared is not None:
        for child in psutil.Process().children():
            if child.pid not in spared:
                found.add(child.pid)
                found.update(_descendants(child))
    return sorted(pid for pid in found if _lives(pid))


def end_all(
    mark: str,
    spared: Collection[int] | None,
    last: int | None = None,
    grace_s: float = children.GRACE_S,
    also: Collection[int] = (),
) -> None:
    """End what lives of an agent (see ``left_of``), and ``also``: TERM, ``grace_s`` seconds, KILL, until all are gone.

    ``last`` (the shim, which writes the agent's status) gets no TERM and is ended only when all others are gone.
    """
    for number in range(_ROUNDS):
        pids = [pid for pid in {*left_of(mark, spared), *(() if number else also)} if pid != last]
        if not pids:
            break
        _end(pids, _LATE_S if number else grace_s, spared, last)
    if last is not None and _await_end([last], _SHIM_S, spared, last):
        _end([last], _LATE_S, spared, last)


def _end(pids: Iterable[int], grace_s: float, spared: Collection[int] | None, last: int | None) -> None:
    import psutil

    living = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            process.terminate()
            process.resume()  # one that was stopped acts on nothing
            living.append(process)
        except psutil.Error:
            continue
    stubborn = _await_end([process.pid for process in living], grace_s, spared, last)
    for process in living:
        if process.pid in stubborn:
            try:
                process.kill()
            except psutil.Error:
                continue
    _await_end(stubborn, _LATE_S, spared, last)


def _await_end(pids: Iterable[int], most_s: float, spared: Collection[int] | None, last: int | None) -> list[int]:
    """Those that still live after at most ``most_s`` seconds."""
    living, deadline = list(pids), time.monotonic() + most_s
    while living:
        if spared is not None:
            reap({*spared, *([last] if last is not None else [])})
        living = [pid for pid in living if _lives(pid)]
        if not living or time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    return living


def _descendants(process: object) -> list[int]:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return [child.pid for child in process.children(recursive=True)]
    except psutil.Error:
        return []


def _lives(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
