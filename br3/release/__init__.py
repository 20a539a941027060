"""After landing: version, notes, tag, push, clean-up, checklist.

Promises: a release is made whole or not at all: version files are written only when they agree, the commit that holds
them is verified before base moves to it, base and tag move in one transaction; nothing is pushed unless the plan or
the command line says so; base and tag reach a remote together or not at all; a rejected push leaves commit and tag,
says so, and the same command then only pushes; a release is taken back only while nobody else can have it; a worktree
or branch with work that has not landed is never removed without ``--force``, and what would go is named.

Modules: ``naming`` which tag is asked for · ``proposing`` what a release would be · ``making`` makes it · ``pushing``
pushes it · ``undoing`` takes it back · ``records`` which ones were made · ``versions``, ``conventional``,
``version_files``, ``changelog``, ``landed``, ``notes`` what it consists of · ``cleaning`` removes worktrees and
branches · ``checklist`` evaluates criteria.
"""
