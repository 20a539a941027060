"""Scans what is about to be committed: the index that git names (``GIT_INDEX_FILE``), compared with HEAD.

Right for ``commit -a`` and ``commit -- PATH``, which commit an index of their own, in a sparse checkout, on an unborn
branch: blobs are read, never the working tree. Git processes: one diff, one cat-file beside it; a third and fourth
only when the diff is larger than ``changed.MOST_BYTES``.
"""

from __future__ import annotations

from collections.abc import Sequence

from br3.guard import places
from br3.guard.changed import MOST_BYTES, Looking, only_new, without_large
from br3.guard.findings import Outcome
from br3.guard.patches import OPTIONS, Change, read_changes
from br3.guard.plumbing import Objects, ask
from br3.guard.settings import Settings

_DIFF = ("diff", "--cached")


def scan(
    settings: Settings,
    *,
    directory: str = ".",
    branch: str | None = None,
    build: str | None = None,
    merging: Sequence[str] = (),
) -> Outcome:
    """What is wrong with the staged changes.

    ``branch`` is the one being committed to ("" for a detached HEAD, None: not asked), ``build`` whose ground it is.
    ``merging`` are the commits whose merge is being committed: what one of them brings was looked at there.
    CannotAsk when git fails.
    """
    outcome = Outcome()
    with Objects(directory) as objects:
        looking = Looking(directory, settings, objects, outcome)
        if branch is not None:
            looking.take(places.on_branch(branch, settings))
        changes = _changes(looking)
        for other in merging:
            changes = only_new(changes, _changes(looking, other))
        if build is not None:
            names = [name for change in changes for name in (change.before, change.path)]
            looking.take(places.outside(names, build, settings))
        looking.look(changes)
    outcome.sort()
    return outcome


def _changes(looking: Looking, *against: str) -> list[Change]:
    printed = ask(*_DIFF, *OPTIONS, *against, directory=looking.directory, most=MOST_BYTES)
    if printed is not None:
        return read_changes(printed)[0]
    large, rest = without_large(looking, *_DIFF, *against)
    printed = ask(*_DIFF, *OPTIONS, *against, *rest, directory=looking.directory) or b""
    return read_changes(printed)[0] + large
