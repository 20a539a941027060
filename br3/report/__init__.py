"""What came of a run, on one page: planned, estimated, done, verified, landed, spent; as HTML, Markdown or JSON.

It reads and never writes: states are replayed from the journal, landed and verified are what git says at this moment,
money is what the analytics hold. So its figures are those of ``br3 status``, ``br3 runs`` and ``br3 costs``, and there
is no second account of anything. ``gathering`` collects all facts, redacted; ``page`` and ``markdown`` only show them.

A page needs nothing from elsewhere: no script, no font, no address. All text that comes from a plan, an agent or a
repository is escaped where it is put into markup, and nowhere else. What is not known is said to be unknown, never 0.
"""
