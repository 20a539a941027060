"""Worktrees as a daily tool, with and without a plan: making one, seeing all, finding one by name, removing.

Promises: what is shown comes from git at that moment, the first of it after three or four processes whatever the number
of worktrees; a worktree that others made is shown and left alone unless it is named; nothing is removed that holds what
base does not, by the same proofs as for builds, and a build's worktree only by the rules of builds.

Modules: ``seeing`` finds the worktrees and what is known of them at once · ``cells`` finds the rest, as it comes ·
``answers`` keeps what follows from commit ids · ``sizes`` measures directories · ``naming`` says which one a name means
· ``making`` adds one and sets it up · ``removing`` removes and prunes, ``builds`` does so
with those of builds.
"""
