"""Costs of interactive sessions, from what Claude Code and Codex themselves write down: read once, attributed, priced.

``scan`` reads what is new in the transcripts and writes one segment of ``usage.imported`` events, ready to be moved
into the journal. Promises: nothing but numbers, ids, names of models, branches and builds leaves a transcript; each
message is kept once within a scan, by the rule by which the fold keeps it once for ever (the largest report of
(agent, message, request); a side chain's copy gives way to its parent's); a line belongs to where it was written
(``cwd``), not to its file; only whole lines are taken, however odd their bytes; what is not new is not opened; costs
are exact and those of ``models.price``. Nothing is written but the segment and scratch files that are removed again.

Modules: ``transcripts`` finds the files · ``fresh`` finds what is new in them · ``slices`` are what DuckDB reads ·
``codex`` turns Codex's rollouts into messages · ``reading`` brings it all into the table of ``lines`` · ``places`` says
whose a line is · ``pricing`` lays out prices for a join · ``scanning`` puts them together.
"""

from br3.analytics.imports.fresh import Offset
from br3.analytics.imports.places import Place
from br3.analytics.imports.scanning import Scanned, scan
from br3.analytics.imports.transcripts import Sources, sources

__all__ = ["Offset", "Place", "Scanned", "Sources", "scan", "sources"]
