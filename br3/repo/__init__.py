"""Git: the only room that runs git.

Promises: every call has ``GIT_*`` scrubbed (a leaked GIT_DIR puts a worktree's commit onto the user's branch),
parses porcelain or NUL-separated forms only, works on captured commit ids, and prefers the form of a command
that refuses over the one that forces. Everything here is standard library, but ``objects`` (GitPython), which is
imported where commits are read for people and never by hooks.

Modules: ``runner`` starts git · ``worktrees`` finds, adds, inspects and removes worktrees · ``trash`` deletes what was
removed · ``refs`` reads and moves refs · ``merges`` merges as objects, without a checkout, and tries whether that works
· ``radar`` reads what git says of merges that were tried · ``containing`` proves that a branch has landed ·
``snapshots`` turns what is uncommitted into a tree and a commit · ``objects`` reads commits for people.
"""

from br3.repo.runner import Git, GitError, Result

__all__ = ["Git", "GitError", "Result"]
