"""What commits changed."""

from __future__ import annotations

from collections.abc import Sequence

from br3.repo.runner import Git


def changes_of(git: Git, commits: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """For each commit (by its full id) the number of files changed, of lines added and of lines removed.

    Binary files have no lines; of a merge nothing counts; commits that are not there are left out. Git processes: 1.
    """
    told = git(
        "log",
        "--no-walk=unsorted",
        "--ignore-missing",
        "--stdin",
        "--format=commit %H",
        "--numstat",
        "--diff-merges=off",
        "--no-ext-diff",
        "--no-textconv",
        input="".join(f"{commit}\n" for commit in commits).encode(),
    ).text
    found: dict[str, tuple[int, int, int]] = {}
    commit = ""
    for line in told.split("\n"):
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
            found[commit] = (0, 0, 0)
        elif line:
            added, removed, _ = line.split("\t", 2)
            files, more, less = found[commit]
            found[commit] = (
                files + 1,
                more + (0 if added == "-" else int(added)),
                less + (0 if removed == "-" else int(removed)),
            )
    return found


def touching(git: Git, old: str | None, new: str, path: str) -> set[str]:
    """The commits on the main line from ``old`` (None: the beginning) to ``new`` that changed ``path``, merges too."""
    span = [new] if old is None else [new, f"^{old}"]
    words = ("-z", "--first-parent", "-m", "--no-renames", "--format=%H")
    return set(git("log", *words, "--quiet", *span, "--", f":(top,literal){path}").text.replace("\0", "\n").split())


def is_cut_off(git: Git) -> bool:
    """Whether the oldest commits are not here: a shallow clone."""
    return git("rev-parse", "--is-shallow-repository").text == "true"
