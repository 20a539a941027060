"""The files that prompts are read from."""

from __future__ import annotations

from pathlib import Path

from br3.plan.location import worktree_root


class Outside(ValueError):
    """A link leads to a file that is not the repository's: a plan from strangers could send it to a model."""


def read(directory: Path, name: str) -> str:
    """The text of ``name``, looked for in the plan's ``directory``.

    Raises OSError when it is not there or no plain file, UnicodeDecodeError, Outside.
    """
    path = directory / name
    if not path.resolve().is_relative_to((worktree_root(directory) or directory).resolve()):
        raise Outside(name)
    if not path.is_file():  # to read a pipe would wait for whoever writes
        raise FileNotFoundError(name)
    return path.read_text(encoding="utf-8")
