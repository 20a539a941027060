"""Scans what is about to be committed: the index that git names (``GIT_INDEX_FILE``), compared with HEAD.

Right for ``commit -a`` and ``commit -- PATH``, which commit an index of their own, in a sparse checkout, on an unborn
branch: blobs are read, never the working tree. Git processes: one diff, one cat-file beside it; more only when the diff
is larger than ``changed.MOST_BYTES``.
"""

from __future__ import annotations

from collections.abc import Sequence

from br3.guard import places
from br3.guard.changed import Looking, changes_of, only_new
from br3.guard.findings import Outcome
from br3.guard.plumbing import Objects
from br3.guard.settings import Settings

_DIFF = ("diff", "--cached")


def scan(
    settings: Settings,
    *,
    directory: str = ".",
    branch: str | None = None,
    build: str | None = None,
    merging: Sequence[str] = (),
    common_dir: str | None = None,
) -> Outcome:
    """What is wrong with the staged changes.

    ``branch`` is the one being committed to ("" for a detached HEAD, None: not asked), ``build`` whose ground it is.
    ``common_dir`` is where other builds' claims are looked for.

    ``merging`` are the commits whose merge is being committed: what one of them brings was looked at there.
    CannotAsk when git fails.
    """
    outcome = Outcome()
    with Objects(directory) as objects:
        looking = Looking(directory, settings, objects, outcome)
        if branch is not None:
            looking.take(places.on_branch(branch, settings))
        changes = changes_of(looking, *_DIFF)
        for other in merging:
            changes = only_new(changes, changes_of(looking, *_DIFF, before=(other,)))
        names = [name for change in changes for name in (change.before, change.path)]
        if build is not None:
            looking.take(places.outside(names, build, settings))
        if common_dir is not None:
            from br3.guard import claims

            looking.take(claims.touched(names, build, settings, common_dir))
        looking.look(changes)
    outcome.sort()
    return outcome
