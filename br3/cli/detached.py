"""The dispatcher of ``br3 run --detach``: ``python -m br3.cli.detached HOME RUN JOBS BUILD…``, started by it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    """Dispatch builds of a run; 0 when that was done, however the builds fared, BUSY when somebody else does it."""
    from br3.cli.output import emit_error
    from br3.cli.progress import Lines
    from br3.cli.run import report
    from br3.dispatch.dispatching import Dispatcher
    from br3.dispatch.sessions import chosen, find
    from br3.errors import Br3Error
    from br3.orchestrator.exits import BUSY
    from br3.repo.worktrees import discover
    from br3.telemetry import LockHeld

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    home, run, jobs, *names = words
    try:
        session = find(discover(Path(home)), run)
        assert session is not None
        wanted = chosen(session.plan, names)
        shown = Lines(max(len(name) for name in names))
        outcome = Dispatcher(session, wanted, shown, jobs=int(jobs)).run()
        session.refresh()
        report(session, wanted, outcome, as_json=False)
    except LockHeld:
        return BUSY
    except Br3Error as error:
        emit_error(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
