"""What commits say of a release: their own form, merges, squashes, reverts."""

from __future__ import annotations

import pytest

from br3.release.conventional import Commit, change_of, changes_in, reverted
from br3.repo.refs import CommitId


def commit(name: str, message: str, *parents: str) -> Commit:
    return Commit(_id(name), tuple(_id(parent) for parent in parents), message)


def _id(name: str) -> CommitId:
    """An object id that is made of a name."""
    return CommitId(name.encode().hex().ljust(40, "0"))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("feat: Add it", "feature"),
        ("feat(core): Add it", "feature"),
        ("Fix: it", "fix"),
        ("perf: faster", "fix"),
        ("feat!: Drop it", "breaking"),
        ("chore(deps)!: Drop Python 3.10", "breaking"),
        ("docs: Say it", None),
        ("chore: Release v1.0.0", None),
        ("fix: it\n\nBREAKING CHANGE: they must", "breaking"),
        ("chore: it\n\nBREAKING-CHANGE: they must", "breaking"),
        ("fix: it\n\nThis is no BREAKING CHANGE: at all", "fix"),
        ("Add it", None),
        ("feat:no space", None),
        ("Work of a week (#12)\n\n* feat: one\n\n* fix: two", "feature"),
        ("Work of a week (#12)\n\n- fix(x): two\n- docs: three", "fix"),
        ("", None),
    ],
)
def test_what_a_message_says(message: str, change: str | None) -> None:
    assert change_of(message) == change


def test_a_merge_whose_message_has_the_form_speaks_for_what_it_brought() -> None:
    commits = [
        commit("m", "fix: Totals", "b", "y"),
        commit("y", "feat: helper", "x"),
        commit("x", "wip", "b"),
    ]
    assert changes_in(commits) == ["fix"]


def test_what_breaks_inside_of_a_merge_counts_all_the_same() -> None:
    commits = [commit("m", "fix: Totals", "b", "x"), commit("x", "feat!: helper", "b")]
    assert changes_in(commits) == ["fix", "breaking"]


def test_a_merge_without_the_form_leaves_the_word_to_its_commits() -> None:
    commits = [commit("m", "Merge build a: Storage", "b", "x"), commit("x", "feat: helper", "b")]
    assert changes_in(commits) == ["feature"]


def test_each_commit_of_a_merge_is_that_of_one_merge_only() -> None:
    commits = [
        commit("n", "docs: second", "m", "y"),
        commit("y", "feat: two", "x"),
        commit("m", "Merge first", "b", "x"),
        commit("x", "fix: one", "b"),
    ]
    assert changes_in(commits) == ["fix"]


def test_what_was_taken_back_says_nothing() -> None:
    commits = [
        commit("r", f'Revert "feat: one"\n\nThis reverts commit {_id("x")}.', "y"),
        commit("y", "fix: two", "x"),
        commit("x", "feat: one", "b"),
    ]
    assert changes_in(commits) == ["fix"]


def test_a_revert_that_was_reverted_does_not_count() -> None:
    commits = [
        commit("s", f'Reapply "feat: one"\n\nThis reverts commit {_id("r")}.', "r"),
        commit("r", f'Revert "feat: one"\n\nThis reverts commit {_id("x")}.', "x"),
        commit("x", "feat: one", "b"),
    ]
    assert changes_in(commits) == ["feature"]


def test_a_reverted_merge_takes_all_that_it_brought_with_it() -> None:
    message = f'Revert "Merge build a"\n\nThis reverts commit {_id("m")}, reversing\nchanges made to {_id("b")}.'
    commits = [commit("r", message, "m"), commit("m", "Merge build a", "b", "x"), commit("x", "feat: one", "b")]
    assert changes_in(commits) == []
    assert reverted(commits) == {_id("r"), _id("m"), _id("x")}


def test_a_revert_of_something_older_takes_back_nothing_of_the_range() -> None:
    commits = [commit("r", f'Revert "x"\n\nThis reverts commit {_id("old")}.', "x"), commit("x", "fix: one", "b")]
    assert changes_in(commits) == ["fix"]


def test_no_commits_say_nothing() -> None:
    assert changes_in([]) == []
