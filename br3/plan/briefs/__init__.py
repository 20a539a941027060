"""A written brief as a plan: the document in which people have written down their builds, read into ``br3.toml``.

What is promised:

- Nothing is dropped silently. Each line that is not blank is a value of the plan, or known form (a heading, a fence, a
  row of dashes), or listed with its number, also in the file itself (``ledger``).
- The same brief gives the same plan, without a key and without the network. Nothing of it is run.
- A prompt in a fence stays as it is written, letter by letter.

How a brief goes through: ``structure`` (Markdown into parts with lines) → ``finding`` (which parts are builds) →
``reading`` with ``facts``, ``front`` and ``shelling`` (what they say: a ``drafts.Draft``) → ``placing`` (what follows
from it here) → ``writing`` (TOML). ``labels``, ``quantities``, ``paths``, ``commands`` and ``signs`` know the words;
``criteria`` turns the checklist into checks; ``asking`` lets Claude place what is left.
"""

from br3.plan.briefs.placing import Here, Imported, import_brief

__all__ = ["Here", "Imported", "import_brief"]
