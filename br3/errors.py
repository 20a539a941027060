"""What can go wrong, said once: a message, a hint (the next command to type) and an exit code.

Exit codes: 0 done · 1 the work failed · 2 wrong usage or plan · 3 refused to keep something safe ·
4 over budget · 130 interrupted.
"""

from __future__ import annotations

import errno

OVER_BUDGET = 4
"""Of a run whose budget is spent: an outcome, not an error."""


class Br3Error(Exception):
    """The work failed. ``hint`` is the next thing to do, in one line, or None."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(Br3Error):
    """The command, the plan or the place it was called from is wrong."""

    exit_code = 2


class Refused(Br3Error):
    """Going on could lose or expose something; nothing was changed."""

    exit_code = 3


class OverBudget(Br3Error):
    """It may cost more than it should, and nobody has said yes; nothing was begun."""

    exit_code = OVER_BUDGET


class Interrupted(Br3Error):
    """The user or the system asked to stop; the same command goes on from here."""

    exit_code = 130


def told(error: OSError) -> Br3Error:
    """What the system said no to, in words, with what to do about it."""
    where = f": {error.filename}" if error.filename else ""
    again = "then the same command again"
    owned = "br3 doctor names files that are somebody else's, as sudo leaves them"
    if error.errno == errno.ENOSPC or error.errno == errno.EDQUOT:
        return Br3Error(f"the disk is full{where}", hint=f"make room (br3 doctor shows what br3 takes up), {again}")
    if error.errno == errno.EROFS:
        return Br3Error(f"the file system is read-only{where}", hint=f"br3 doctor, {again}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Br3Error(f"permission denied{where}", hint=owned)
    return Br3Error(str(error), hint="--debug shows where")
