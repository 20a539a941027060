"""The commit that a build starts from: base as it was captured, with what the build needs merged in as objects."""

from __future__ import annotations

from collections.abc import Mapping

from br3.plan.model import Build, Plan
from br3.plan.order import landing_order, needs_closure
from br3.repo import merges, refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.wording import listed


class StartConflict(Exception):
    """What a build needs does not merge; ``build`` is the one that conflicts, ``files`` the paths."""

    def __init__(self, build: str, files: tuple[str, ...]) -> None:
        super().__init__(f"what it needs does not merge: {build} conflicts in {listed(files, 8)}")
        self.build, self.files = build, files


def start_commit(git: Git, plan: Plan, build: Build, base: CommitId, verified: Mapping[str, CommitId]) -> CommitId:
    """Base, or a merge of base and the verified commits of all that ``build`` needs, in landing order."""
    wanted = set(needs_closure(plan, build.id))
    start = base
    for needed in landing_order(plan):
        if needed.id not in wanted:
            continue
        commit = verified[needed.id]  # the caller has made sure of it
        if refs.is_ancestor(git, commit, start):
            continue
        if refs.is_ancestor(git, start, commit):
            start = commit
            continue
        merged = merges.merge_trees(git, start, commit)
        if not merged.clean:
            raise StartConflict(needed.id, merged.conflicts)
        message = f"Start {build.id} from {needed.id}\n"
        start = merges.commit(git, merged.tree, [start, commit], message)
    return start
