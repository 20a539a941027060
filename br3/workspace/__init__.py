"""A build's workspace: its worktree, its environment, and the commands that run in them.

Promises: a worktree is added from a commit captured once, on a branch of its own; what is in the way (a path, a
branch with other work, a branch checked out elsewhere, a broken registration) is refused with the next command to
type and nothing is lost; preparing again repairs what is missing and touches nothing else; a command that comes
from the repository runs only after the user has approved exactly it; whatever a command started is ended with it.

Modules: ``preparing`` makes a build's workspace · ``places`` says where it is · ``environments`` keeps finished Python
environments and takes others from them · ``baseline`` puts back what agents change of the repository's configuration
and hooks · ``copying`` copies files (reflink where the filesystem has it, never a hard link) · ``ignored`` tells which
ignored files a worktree would take with it · ``children`` runs commands and ends processes · ``occupants`` finds the
processes in a directory · ``trust`` remembers what the user approved.
"""
