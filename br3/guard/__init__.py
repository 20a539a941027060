"""What hooks and ``br3 scan`` look for: secrets, SQL built from strings, conflict markers, size, branch, ownership.

Promises: only what was added counts, as it lies in blobs; a secret is never printed in full, nor kept; every rule
matches from one of its keywords on, so that a search for the keywords alone never misses one; every way out that is
used (comment, baseline, glob, ``BR3_SKIP``) is in the outcome, so that it can be recorded.

Standard library only, and lean: ``start`` is started by hooks as ``python3 -I -S …/start.py``. It and what it imports
do without dataclasses, typing, pathlib and subprocess, whose import takes longer than a scan; so this file imports
nothing either.

Secrets are found by ``br3.secrets.matching``, by the table of ``br3.secrets.rules``.

Modules: ``sql``, ``sql_python``, ``sql_script`` and ``sql_naming`` find SQL built from strings · ``contents``
inspects one file · ``patches`` reads git's patches, ``plumbing`` starts git for them · ``staged``, ``commits`` and
``trees`` scan an index, commits, a worktree · ``places`` knows protected branches and owned paths · ``exemptions``
are the ways out · ``findings`` is what they all answer with · ``settings`` is what others compile for a hook ·
``start`` and ``check`` are the hooks' entry · ``sarif`` and ``gitleaks`` meet other tools.
"""
