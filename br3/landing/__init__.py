"""Landing: verified builds become one tested step of the base branch.

Promises: candidates are made as objects, no worktree is touched; base moves once, by compare-and-swap, only to a
commit whose tree was verified as it stands; a build that conflicts is put aside with its files named, and what needs
it too, the rest goes on; where base is checked out, the files follow only where that loses nothing, or nothing moves;
before, after and at every ``kill -9`` between, base is the old or the new commit.

Modules: ``training`` makes and verifies the train · ``moving`` moves base and what is checked out of it, and finishes
a move that was cut off · ``scratch`` keeps throw-away worktrees with an environment of their own.
"""
