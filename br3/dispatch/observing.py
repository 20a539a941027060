"""Taking up events into the analytics, with the thresholds of the newest run's plan, and telling of new alerts.

``python -m br3.dispatch.observing COMMON_DIR WORKTREE`` does it once: the dispatcher starts that each minute, so that
alerts come while a run is at work and the dispatcher itself never loads DuckDB.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from br3.analytics.alerts import Alert, Rules
from br3.analytics.folding import Folded
from br3.analytics.keeping import freshen
from br3.analytics.store import WAIT_S, Broken, Busy
from br3.errors import Br3Error
from br3.plan.frozen import FROZEN_FILE, thaw
from br3.plan.model import DEFAULT_RETENTION_DAYS, Alerts
from br3.workspace import children, trust

_NOTIFY_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class TakenUp:
    """What came of it. ``folded`` is None when nothing could be taken up; ``warnings`` say why, or what was odd."""

    folded: Folded | None
    warnings: list[str] = field(default_factory=list)
    broken: Broken | None = None
    """What DuckDB says of a file that it cannot work with; figures from it would be worth nothing."""


def take_up(common_dir: Path, home: Path, *, wait_s: float = WAIT_S) -> TakenUp:
    """Fold what is new and run ``notify`` for each new alert. Never raises for what only makes figures older."""
    rules, retention_days = rules_of(common_dir)
    try:
        folded = freshen(common_dir, Rules.of(dataclasses.asdict(rules)), retention_days, wait_s=wait_s)
    except (Busy, Broken) as trouble:
        said = f"figures may be old: {trouble.message} ({trouble.hint})"
        return TakenUp(None, [said], trouble if isinstance(trouble, Broken) else None)
    except OSError as error:
        return TakenUp(None, [f"figures may be old: {error}"])
    warnings = []
    if folded.rejected:
        warnings.append(f"{folded.rejected} lines of the journal could not be read; br3 doctor shows them")
    if folded.raised and rules.notify:
        warnings += notify(common_dir, home, rules.notify, folded.raised)
    return TakenUp(folded, warnings)


def rules_of(common_dir: Path) -> tuple[Alerts, float]:
    """Thresholds and retention in days by the plan of the newest run, or the defaults."""
    runs = common_dir / "br3" / "runs"
    names = sorted((path.parent.name for path in runs.glob(f"*/{FROZEN_FILE}")), reverse=True)
    for name in names[:1]:
        try:
            plan = thaw(runs / name).plan
        except Br3Error:
            break
        return plan.alerts, plan.retention_days
    return Alerts(), DEFAULT_RETENTION_DAYS


def notify(common_dir: Path, home: Path, command: str, raised: Sequence[Alert]) -> list[str]:
    """Run the approved ``command`` for each alert, which it gets as JSON on standard input; returns what went wrong."""
    if trust.missing(common_dir, [trust.Command("notification", "alerts", command)]):
        return [f"not approved, so nobody was notified: {command} (br3 trust)"]
    troubles = []
    for alert in raised:
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=home,
                env=children.environment(home, {}),
                input=json.dumps({"schema": 1, "alert": alert.as_json()}).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_NOTIFY_TIMEOUT_S,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            troubles.append(f"notify took longer than {_NOTIFY_TIMEOUT_S:g} s: {command}")
            continue
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            troubles.append(f"notify ended with exit code {done.returncode}: {' '.join(last)}".rstrip(": "))
    return troubles


if __name__ == "__main__":
    take_up(Path(sys.argv[1]), Path(sys.argv[2]))
