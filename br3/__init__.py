"""br3: several coding agents at once, each in its own worktree, landed verified.

Imports nothing, so that hooks and the command line start at once.
"""

__version__ = "0.1.0"
