"""Exit codes of an orchestrator."""

VERIFIED, FAILED, STUCK, BUSY, CANCELLED = 0, 1, 74, 75, 130
"""74 (EX_IOERR): what it stands on has given way, 75 (EX_TEMPFAIL): another one holds the build."""
