"""Names, places and states of worktrees that are seldom, and that git allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.repo import refs, tags
from br3.repo.runner import Git
from br3.repo.worktrees import discover, list_worktrees
from tests.conftest import Scratch
from tests.integration.test_worktree_daily import listed

SEPARATOR = "a\u2028b"
"""What Python takes for the end of a line, and git for a letter."""


def test_a_subject_or_a_branch_may_hold_what_python_takes_for_the_end_of_a_line(repo: Scratch) -> None:
    repo.commit(SEPARATOR)
    repo.git("tag", SEPARATOR)
    repo.br3("worktree", "new", SEPARATOR)
    repo.git("checkout", "--quiet", "--detach", cwd=repo.worktree(SEPARATOR))
    repo.commit(f"{SEPARATOR}\x85c", cwd=repo.worktree(SEPARATOR))
    rows = listed(repo)
    assert (rows["project"]["subject"], rows[SEPARATOR]["subject"]) == (SEPARATOR, f"{SEPARATOR}\x85c")
    assert set(refs.branches(Git(repo.path))) == {"main", SEPARATOR}
    assert [tag.name for tag in tags.merged_tags(Git(repo.path), "main")] == [SEPARATOR]
    assert "on no branch" in repo.br3("worktree", "remove", SEPARATOR, code=3).err


@pytest.mark.parametrize("name", ["@", "-", "", "@{-1}"])
def test_new_refuses_what_cannot_be_a_branch_and_leaves_nothing(repo: Scratch, name: str) -> None:
    repo.git("checkout", "--quiet", "-b", "other")
    before = repo.git("for-each-ref"), sorted(repo.path.parent.iterdir())
    said = repo.br3("worktree", "new", name, code=2)
    assert len(said.err.splitlines()) == 2 and "named" in said.err
    assert (repo.git("for-each-ref"), sorted(repo.path.parent.iterdir())) == before
    assert not (repo.common_dir / "br3").exists()


def test_an_empty_name_is_not_the_worktree_that_one_is_in(repo: Scratch) -> None:
    repo.br3("worktree", "new", "a")
    assert "cannot be empty" in repo.br3("worktree", "remove", "", cwd=repo.worktree("a"), code=2).err
    assert repo.worktree("a").exists()


def test_the_way_back_leads_from_a_new_worktree_too(repo: Scratch, tmp_path: Path) -> None:
    env = {"BR3_CD_FILE": str(tmp_path / "cd")}
    repo.br3("worktree", "new", "--switch", "a", env=env)
    assert (tmp_path / "cd").read_text() == str(repo.worktree("a"))
    repo.br3("worktree", "switch", "-", cwd=repo.worktree("a"), env=env)
    assert (tmp_path / "cd").read_text() == str(repo.path)


def test_worktrees_of_a_submodule_lie_beside_where_it_is_checked_out(repo: Scratch, tmp_path: Path) -> None:
    above = Scratch(tmp_path / "above")
    above.path.mkdir()
    above.git("init", "--quiet")
    above.git("submodule", "--quiet", "add", str(repo.path), "libs/sub")
    above.commit("with a submodule")
    sub = above.path / "libs" / "sub"
    made = repo.br3("worktree", "new", "a", "--json", cwd=sub).json
    assert made["path"] == str(sub.parent / "sub.worktrees" / "a")
    for place in (sub, Path(made["path"])):
        rows = repo.br3("worktree", "list", "--json", cwd=place).json["worktrees"]
        assert [(row["path"], row["current"]) for row in rows] == [
            (str(sub), place == sub),
            (made["path"], place != sub),
        ]


def rebasing(repo: Scratch, name: str, *words: str) -> Path:
    """A worktree whose branch is being rebased, and waits for somebody to resolve a conflict."""
    repo.br3("worktree", "new", name)
    repo.write("README.md", "theirs\n")
    repo.commit("theirs")
    path = repo.worktree(name)
    repo.write("README.md", "mine\n", root=path)
    repo.commit("mine", cwd=path)
    repo.git("rebase", "--quiet", *words, "main", cwd=path, check=False)
    assert repo.git("branch", "--show-current", cwd=path) == ""
    return path


@pytest.mark.parametrize("how", ["--merge", "--apply", "bisect"])
def test_a_branch_that_is_rebased_or_bisected_stays_its_worktree_s(repo: Scratch, how: str) -> None:
    if how == "bisect":
        repo.br3("worktree", "new", "f")
        path, first = repo.worktree("f"), repo.head()
        for number in range(3):
            repo.commit(f"{number}", cwd=path)
        repo.git("bisect", "start", "HEAD", first, cwd=path)
    else:
        path = rebasing(repo, "f", how)
    row = listed(repo)["f"]
    assert (row["branch"], row["operation"]) == ("f", "bisect" if how == "bisect" else "rebase")
    again = repo.br3("worktree", "new", "f", "--json").json
    assert (again["how"], again["path"]) == ("there", str(path))
    assert repo.br3("worktree", "path", "f").out.strip() == str(path)
    assert "in progress" in repo.br3("worktree", "remove", "f", code=3).err
    assert "\n   f " in repo.br3("worktree", "list").out


def test_a_bisect_that_began_on_no_branch_holds_none(repo: Scratch) -> None:
    first = repo.head()
    for number in range(3):
        repo.commit(f"{number}")
    repo.git("checkout", "--quiet", "--detach")
    repo.git("bisect", "start", "HEAD", first)
    assert [found.held for found in list_worktrees(discover(repo.path).git)] == [None]


def test_a_locked_worktree_says_how_to_unlock_it(repo: Scratch) -> None:
    repo.br3("worktree", "new", "a")
    repo.br3("worktree", "lock", "a")
    said = repo.br3("worktree", "remove", "a", code=3)
    assert f"br3 worktree unlock {repo.worktree('a')}" in said.err
    repo.br3("worktree", "unlock", str(repo.worktree("a")))
    repo.br3("worktree", "remove", "a")
