"""How far commits are from each other, for many pairs at once: commits on either side, where they part, changed lines.

One walk over the history since the commit that all of them have marks each commit with those that reach it, so the
number of processes does not depend on the number of pairs. Git processes: ``distances`` 2 · ``changed_lines`` 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from br3.repo.refs import CommitId
from br3.repo.runner import Git

Pair = tuple[CommitId, CommitId]


@dataclass(frozen=True)
class Distance:
    """``ahead``: commits of the second that the first has not; ``behind`` the other way; ``fork``: where they part, the
    newest commit that both have, None for unrelated histories."""

    ahead: int
    behind: int
    fork: CommitId | None


def distances(git: Git, pairs: Iterable[Pair]) -> dict[Pair, Distance]:
    """The distance of each pair of commits (seen from the first)."""
    wanted = list(dict.fromkeys(pairs))
    ends = list(dict.fromkeys(commit for pair in wanted for commit in pair))
    if not ends:
        return {}
    # The parents of what all have are left out, itself not: it is where some part.
    common = git("merge-base", "--octopus", *ends, ok=(0, 1)).text
    asked = "\n".join([*ends, *([f"^{common}^@"] if common else [])])
    walk = git("rev-list", "--topo-order", "--parents", "--stdin", input=asked.encode()).lines
    marks = {commit: 1 << number for number, commit in enumerate(ends)}
    reached: dict[str, int] = {str(commit): mark for commit, mark in marks.items()}
    counts: Counter[int] = Counter()
    forks: dict[Pair, CommitId] = {}
    looked_for = {pair: marks[pair[0]] | marks[pair[1]] for pair in wanted}
    for line in walk:
        commit, *parents = line.split(" ")
        mark = reached.pop(commit, 0)
        counts[mark] += 1
        for parent in parents:
            reached[parent] = reached.get(parent, 0) | mark
        if looked_for:  # children come before parents: the first commit that both reach is a best one
            for pair in [pair for pair, both in looked_for.items() if mark & both == both]:
                forks[pair] = CommitId(commit)
                del looked_for[pair]
    return {
        pair: Distance(
            ahead=_count(counts, marks[pair[1]], marks[pair[0]]),
            behind=_count(counts, marks[pair[0]], marks[pair[1]]),
            fork=forks.get(pair),
        )
        for pair in wanted
    }


def changed_lines(git: Git, pairs: Collection[Pair]) -> dict[Pair, tuple[int, int]]:
    """Lines added and removed from the first commit of each pair to the second; renamed files count what changed."""
    if not pairs:
        return {}
    wanted = list(dict.fromkeys(pairs))
    # A commit and another one as if it were its parent.
    asked = "".join(f"{new} {old}\n" for old, new in wanted)
    words = ("diff-tree", "--stdin", "--always", "-r", "-M", "--shortstat", "--no-ext-diff", "--no-textconv")
    told = git(*words, input=asked.encode()).lines
    found: list[tuple[int, int]] = []
    for line in told:
        if line.startswith(" "):
            found[-1] = shortstat(line)
        elif line:
            found.append((0, 0))
    return dict(zip(wanted, found, strict=True))


def shortstat(text: str) -> tuple[int, int]:
    """Lines added and removed, as ``--shortstat`` tells them; (0, 0) for nothing."""
    added = removed = 0
    for part in text.strip().split(", "):
        number, _, what = part.partition(" ")
        if what.startswith("insertion"):
            added = int(number)
        elif what.startswith("deletion"):
            removed = int(number)
    return added, removed


def _count(counts: Counter[int], reached_by: int, but_not: int) -> int:
    return sum(number for mark, number in counts.items() if mark & reached_by and not mark & but_not)
