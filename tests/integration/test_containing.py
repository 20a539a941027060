"""What counts as contained in base, so that a branch may go: real histories, one for each way of landing and after."""

from __future__ import annotations

import pytest

from br3.repo import Git
from br3.repo.containing import contained_in
from br3.repo.refs import CommitId
from tests.conftest import Scratch


def how(repo: Scratch, branch: str = "topic") -> str | None:
    """How main contains the branch."""
    found = contained_in(Git(repo.common_dir), CommitId(repo.head()), CommitId(repo.head(branch)))
    return found.how if found else None


@pytest.fixture
def topic(repo: Scratch) -> Scratch:
    """A branch with two commits to one file, and main one commit further with another file."""
    repo.write("file", "1\n2\n3\n4\n5\n")
    repo.commit("file")
    repo.git("switch", "--quiet", "-c", "topic")
    repo.write("file", "one\n2\n3\n4\n5\n")
    repo.commit("first")
    repo.write("file", "ONE\n2\n3\n4\n5\n")
    repo.commit("second")
    repo.git("switch", "--quiet", "main")
    repo.write("other", "x\n")
    repo.commit("other")
    return repo


def squash(repo: Scratch) -> str:
    repo.git("merge", "--quiet", "--squash", "topic")
    return repo.commit("squashed")


def test_nothing_of_it_has_landed(topic: Scratch) -> None:
    assert how(topic) is None


def test_merged(topic: Scratch) -> None:
    topic.git("merge", "--quiet", "--no-edit", "topic")
    assert how(topic) == "ancestor"


def test_merged_and_then_reverted_is_in_base_s_history(topic: Scratch) -> None:
    topic.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    topic.git("revert", "--no-edit", "-m", "1", "HEAD")
    assert how(topic) == "ancestor"


def test_a_branch_without_a_commit_of_its_own(topic: Scratch) -> None:
    topic.git("branch", "empty", "main~1")
    assert how(topic, "empty") == "ancestor"


def test_squashed(topic: Scratch) -> None:
    squash(topic)
    assert how(topic) == "merged"


def test_squashed_onto_where_it_began_leaves_the_same_tree(topic: Scratch) -> None:
    topic.git("reset", "--quiet", "--hard", "topic~2")
    squash(topic)
    assert how(topic) == "equal tree"


def test_rebased(topic: Scratch) -> None:
    topic.git("cherry-pick", "topic~1", "topic")
    assert how(topic) == "merged"


def test_only_the_first_of_its_commits_has_landed(topic: Scratch) -> None:
    topic.git("cherry-pick", "topic~1")
    assert how(topic) is None


def test_squashed_and_then_reverted_would_come_in_again(topic: Scratch) -> None:
    squash(topic)
    topic.git("revert", "--no-edit", "HEAD")
    assert how(topic) is None


def test_squashed_and_reverted_and_the_same_line_written_anew(topic: Scratch) -> None:
    squash(topic)
    topic.git("revert", "--no-edit", "HEAD")
    topic.write("file", "another\n2\n3\n4\n5\n")
    topic.commit("done in another way")
    assert how(topic) is None


def test_squashed_and_then_changed_further(topic: Scratch) -> None:
    landed = squash(topic)
    topic.write("file", "another\n2\n3\n4\n5\n")
    topic.commit("goes on from it")
    found = contained_in(Git(topic.common_dir), CommitId(topic.head()), CommitId(topic.head("topic")))
    assert found is not None and (found.how, found.commit) == ("landed", landed)


def test_somebody_else_changed_the_same_line_and_it_never_landed(topic: Scratch) -> None:
    topic.write("file", "another\n2\n3\n4\n5\n")
    topic.commit("theirs")
    assert how(topic) is None


def test_squashed_and_then_it_went_on(topic: Scratch) -> None:
    squash(topic)
    topic.git("switch", "--quiet", "topic")
    topic.write("more", "x\n")
    topic.commit("more")
    topic.git("switch", "--quiet", "main")
    assert how(topic) is None


def test_squashed_and_then_it_took_base_in(topic: Scratch) -> None:
    squash(topic)
    topic.git("switch", "--quiet", "topic")
    topic.git("merge", "--quiet", "--no-edit", "main")
    topic.git("switch", "--quiet", "main")
    assert how(topic) == "equal tree"


def test_commits_that_cancel_each_other_out_are_nowhere_else(topic: Scratch) -> None:
    topic.git("switch", "--quiet", "topic")
    topic.git("revert", "--no-edit", "HEAD", "HEAD~1")
    topic.git("switch", "--quiet", "main")
    assert topic.head("topic^{tree}") == topic.head("topic~4^{tree}")
    assert how(topic) is None


def test_empty_commits_hold_nothing(topic: Scratch) -> None:
    topic.git("switch", "--quiet", "-c", "hollow", "main~1")
    topic.git("commit", "--quiet", "--allow-empty", "-m", "nothing")
    topic.git("switch", "--quiet", "main")
    assert how(topic, "hollow") == "merged"


def test_a_merge_driver_that_keeps_base_s_side_proves_nothing(topic: Scratch) -> None:
    topic.write("file", "1\n2\n3\n4\nfive\n")
    topic.commit("the same file, elsewhere")
    topic.git("config", "merge.ours.driver", "true")
    attributes = topic.common_dir / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* merge=ours\n")
    merged = topic.git("merge-tree", "--write-tree", "main", "topic", cwd=topic.common_dir)
    assert merged == topic.head("main^{tree}"), "the driver is not asked, so this shows nothing"
    assert how(topic) is None


def test_histories_that_share_nothing(topic: Scratch) -> None:
    topic.git("switch", "--quiet", "--orphan", "island")
    topic.write("island", "x\n")
    topic.commit("island")
    topic.git("switch", "--quiet", "main")
    assert how(topic, "island") is None


def test_names_that_git_could_take_for_patterns(repo: Scratch) -> None:
    name = "*[a]\u00e9 b"
    repo.git("switch", "--quiet", "-c", "topic")
    repo.write(name, "1\n")
    repo.commit("first")
    repo.git("switch", "--quiet", "main")
    squash(repo)
    repo.write(name, "2\n")
    repo.commit("on top")
    assert how(repo) == "landed"
