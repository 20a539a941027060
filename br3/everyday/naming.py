"""Which worktree a name means: a branch, the name of its directory, a path, a build's id; ``@`` is the one we are in,
``-`` the one before (as `br3 worktree switch` noted it).

Something that means two worktrees is refused, with names that mean one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from br3.errors import UsageError
from br3.everyday.seeing import Row, Seen


def find(seen: Seen, name: str, directory: Path) -> Row:
    """The worktree that ``name`` means for who is in ``directory``; UsageError, with what is near, for none or two."""
    if not name:
        raise UsageError("a worktree's name cannot be empty", hint="br3 worktree list; @ is the one that you are in")
    if name == "@":
        if seen.current is None:
            raise UsageError(f"{directory} is in no worktree, so there is no @", hint="br3 worktree list")
        return seen.current
    if name == "-":
        return _before(seen)
    matching = list(_matching(seen, name, directory))
    if len(matching) == 1:
        return matching[0]
    if matching:
        ways = ", ".join(str(row.path) for row in matching)
        raise UsageError(f"{name} may be any of {len(matching)} worktrees", hint=f"name one by its path: {ways}")
    raise UsageError(f"there is no worktree {name!r}", hint=_near(seen, name))


def names_of(row: Row) -> list[str]:
    """What a worktree may be called, but for its path; the first is what a person would say."""
    if row.state == "bare":
        return []
    return list(dict.fromkeys(name for name in (row.branch, row.registered.held, row.path.name, row.build) if name))


def note_switch(seen: Seen, to: Row) -> None:
    """Remember where we are as the one before ``to``."""
    if seen.current is None or seen.current.path == to.path:
        return
    path = _noted(seen)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(str(seen.current.path), errors="surrogateescape")
        draft.replace(path)
    except OSError:
        pass


def _noted(seen: Seen) -> Path:
    return seen.repository.br3_dir / "previous-worktree"


def _before(seen: Seen) -> Row:
    try:
        noted = Path(_noted(seen).read_text(errors="surrogateescape"))
    except (OSError, ValueError):
        noted = None
    found = next((row for row in seen.rows if row.path == noted), None)
    if found is None:
        raise UsageError("there is no worktree before this one", hint="br3 worktree list")
    return found


def _matching(seen: Seen, name: str, directory: Path) -> Iterator[Row]:
    place = Path(os.path.abspath(directory / name)).resolve()
    exactly = False
    for row in seen.rows:
        if name in names_of(row) or (row.state != "bare" and row.path.resolve() == place):
            exactly = True
            yield row
    if not exactly:  # builds are found whatever the case, here as elsewhere
        yield from (row for row in seen.rows if row.build and row.build.casefold() == name.casefold())


def _near(seen: Seen, name: str) -> str:
    import difflib

    known = {other.casefold(): other for row in seen.rows for other in names_of(row)}
    near = difflib.get_close_matches(name.casefold(), known, n=1)
    # A part of a long name is nearer for people than it is for difflib.
    inside = [other for folded, other in known.items() if name.casefold() in folded] if len(name) > 1 else []
    if near or inside:
        return f"did you mean {known[near[0]] if near else inside[0]}?"
    return f"br3 worktree list shows all; br3 worktree new {name} makes one"
