"""After landing: the tag, the push, the clean-up, the checklist.

Promises: nothing is pushed unless the plan or the command line says so; branch and tag reach a remote together or not
at all; a rejected push leaves the local tag, says so, and the same command then only pushes; a worktree or branch
with work that has not landed is never removed without ``--force``, and what would go is named.

Modules: ``tagging`` tags and pushes · ``cleaning`` removes worktrees and branches · ``checklist`` evaluates criteria.
"""
