"""Every event and every dollar in one DuckDB file, folded from the journal exactly once; reports and alerts from it.

Promises: the journal is the truth, ``analytics.duckdb`` a projection that ``rebuild`` makes again, report by report the
same; a fold's rows and its offsets commit in one transaction, so that a crash loses and doubles nothing; states are
those of ``telemetry.replay``; money is DECIMAL, times are UTC; what has no price is NULL, never 0; every opening goes
through a turnstile of two flocks with bounded waiting, and nobody holds the file beyond a fold or a query.

Modules: ``store`` opens the file · ``migrations`` numbers its shapes · ``folding`` moves events in · ``deriving`` makes
states, usage and metrics from them · ``reports`` answers questions · ``alerts`` watches thresholds · ``keeping``
archives, drops chatter, rebuilds · ``imports`` reads the transcripts of interactive sessions.
"""

from br3.analytics.folding import Folded, fold
from br3.analytics.store import Busy, analytics_path, reading

__all__ = ["Busy", "Folded", "analytics_path", "fold", "reading"]
