"""The git room against real git."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from br3.errors import UsageError
from br3.repo import merges, refs, snapshots, worktrees
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.runner import Git, GitError
from tests.conftest import Scratch


def test_a_leaked_git_dir_does_not_lead_git_astray(repo: Scratch, tmp_path: Path, monkeypatch) -> None:
    other = Scratch(tmp_path / "other")
    other.path.mkdir()
    other.git("init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    assert worktrees.discover(other.path).common_dir == (other.path / ".git").resolve()


def test_the_date_of_a_hook_s_commit_is_not_inherited(repo: Scratch) -> None:
    # GIT_AUTHOR_DATE is set by the test's world, as git sets it for hooks.
    git = Git(repo.path)
    made = merges.commit(git, refs.tree_of(git, "HEAD"), [CommitId(repo.head())], "now")
    assert not repo.git("log", "-1", "--format=%aI", made).startswith("2026-01-02")


def test_the_identity_of_the_environment_is_kept(repo: Scratch, monkeypatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    git = Git(repo.path)
    made = merges.commit(git, refs.tree_of(git, "HEAD"), [CommitId(repo.head())], "mine")
    assert repo.git("log", "-1", "--format=%an", made) == "Somebody Else"


def test_outside_a_repository_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in a git repository"):
        worktrees.discover(tmp_path)


def test_a_repository_is_the_same_from_every_worktree_and_directory(repo: Scratch, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    repo.git("worktree", "add", "--quiet", str(linked), "-b", "side")
    (linked / "deep").mkdir()
    main, there = worktrees.discover(repo.path), worktrees.discover(linked / "deep")
    assert main.common_dir == there.common_dir
    assert (main.worktree, there.worktree) == (repo.path, linked)


def test_names_with_newlines_quotes_and_signs_survive(repo: Scratch) -> None:
    names = ["new\nline", 'quo"te', "ünï", "sp ace"]
    for name in names:
        repo.write(name, "x")
    assert sorted(worktrees.uncommitted(repo.path)) == sorted(names)


def test_forty_worktrees_are_added_at_once_from_a_remote_branch(repo: Scratch, tmp_path: Path) -> None:
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "remote.git"))
    repo.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    repo.git("fetch", "--quiet", "origin")
    git, commit = Git(repo.path), CommitId(repo.head("origin/main"))

    def add(number: int) -> None:
        worktrees.add(git, tmp_path / f"w{number}", branch=f"b{number}", commit=commit, create=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert len(worktrees.list_worktrees(git)) == 41
    assert "branch" not in repo.git("config", "--list", "--local").replace("init.defaultbranch", "")


def test_a_fresh_worktree_needs_no_second_hashing(repo: Scratch, tmp_path: Path) -> None:
    path = tmp_path / "w"
    worktrees.add(Git(repo.path), path, branch="b", commit=CommitId(repo.head()), create=True)
    assert repo.git("diff-files", "--name-only", cwd=path) == ""


def test_a_failing_hook_of_the_user_s_does_not_unmake_a_worktree(repo: Scratch, tmp_path: Path) -> None:
    hook = repo.write(".git/hooks/post-checkout", "#!/bin/sh\necho no >&2\nexit 3\n")
    hook.chmod(0o755)
    complaint = worktrees.add(Git(repo.path), tmp_path / "w", branch="b", commit=CommitId(repo.head()), create=True)
    assert complaint == "no"
    assert (tmp_path / "w" / "README.md").exists()


def test_removing_a_worktree_drops_only_its_own_entry(repo: Scratch, tmp_path: Path) -> None:
    git, commit = Git(repo.path), CommitId(repo.head())
    for name in ("a", "gone", "c"):
        worktrees.add(git, tmp_path / name, branch=name, commit=commit, create=True)
    os.rename(tmp_path / "gone", tmp_path / "elsewhere")  # as on a volume that is not mounted now
    worktrees.remove(git, tmp_path / "a")
    assert {w.path.name for w in worktrees.list_worktrees(git)} == {"project", "gone", "c"}
    assert not (tmp_path / "a").exists()


def test_a_locked_worktree_is_not_removed(repo: Scratch, tmp_path: Path) -> None:
    git = Git(repo.path)
    worktrees.add(git, tmp_path / "a", branch="a", commit=CommitId(repo.head()), create=True)
    repo.git("worktree", "lock", str(tmp_path / "a"))
    with pytest.raises(GitError):
        worktrees.remove(git, tmp_path / "a")
    assert (tmp_path / "a" / "README.md").exists()


def test_a_ref_moves_only_from_where_it_was_seen(repo: Scratch) -> None:
    git, old = Git(repo.path), CommitId(repo.head())
    new = CommitId(repo.commit("two"))
    assert not refs.move(git, "refs/heads/main", old, old, "test")
    assert refs.move(git, "refs/heads/main", old, new, "test")
    assert refs.move(git, "refs/heads/fresh", new, NULL_ID, "test")
    assert not refs.move(git, "refs/heads/fresh", old, NULL_ID, "test")


def test_contained_tells_landed_from_unlanded_and_unknown(repo: Scratch) -> None:
    first = CommitId(repo.head())
    repo.git("switch", "--quiet", "--create", "side")
    side = CommitId(repo.commit("side"))
    unknown = CommitId("1" * 40)
    assert refs.contained(Git(repo.path), [first, side, unknown], "refs/heads/main") == {first}


def test_branches_are_found_by_their_exact_names(repo: Scratch) -> None:
    repo.git("branch", "build/a")
    repo.git("branch", "other")
    found = refs.branches(Git(repo.path), ["build", "build/a", "nothing"])
    assert set(found) == {"build/a"}
    assert found["build/a"].tree == refs.tree_of(Git(repo.path), "main")


def test_a_merge_names_the_files_in_conflict(repo: Scratch) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.write("README.md", "side\n")
    repo.write("spa ce.txt", "fine\n")
    side = repo.commit()
    repo.git("switch", "--quiet", "main")
    repo.write("README.md", "main\n")
    repo.commit()
    merged = merges.merge_trees(Git(repo.path), "main", side)
    assert not merged.clean
    assert merged.conflicts == ("README.md",)


def test_trailers_go_into_the_last_block_once(repo: Scratch) -> None:
    git = Git(repo.path)
    text = merges.with_trailers(git, "Subject\n\nBody.\n\nSigned-off-by: A <a@b>", {"Br3-Build": "x"})
    assert text == "Subject\n\nBody.\n\nSigned-off-by: A <a@b>\nBr3-Build: x\n"
    assert merges.with_trailers(git, text, {"Br3-Build": "x"}) == text


def snapshot_of(repo: Scratch) -> tuple[Path, snapshots.Snapshot]:
    excludes = snapshots.write_excludes(Git(repo.path), repo.path / ".git" / "br3" / "excludes")
    return excludes, snapshots.snapshot(repo.path, excludes)


def test_a_snapshot_holds_what_is_uncommitted_but_no_droppings(repo: Scratch) -> None:
    repo.write("new.py", "x = 1\n")
    repo.write("README.md", "changed\n")
    repo.write(".venv/bin/python", "")
    repo.write("pkg/__pycache__/a.pyc", "")
    repo.write(".aider.chat.history.md", "")
    before = repo.git("status", "--porcelain")
    _, seen = snapshot_of(repo)
    assert seen.dirty
    assert repo.git("ls-tree", "-r", "--name-only", seen.tree).splitlines() == ["README.md", "new.py"]
    assert repo.git("status", "--porcelain") == before


def test_the_user_s_own_excludes_are_kept(repo: Scratch, sealed: Path) -> None:
    (sealed / "mine").write_text("*.private\n")
    repo.git("config", "--global", "core.excludesFile", str(sealed / "mine"))
    repo.write("a.private", "x")
    assert not snapshot_of(repo)[1].dirty


def test_committing_a_snapshot_again_is_the_same_commit(repo: Scratch) -> None:
    repo.write("new.py", "x = 1\n")
    _, seen = snapshot_of(repo)
    when = "2026-11-22T10:00:00Z"
    first = snapshots.commit_snapshot(repo.path, seen, "main", "add", {"Br3-Task": "1"}, when)
    again = snapshots.commit_snapshot(repo.path, seen, "main", "add", {"Br3-Task": "1"}, when)
    assert first == again == repo.head()
    assert repo.git("status", "--porcelain") == ""
    assert repo.git("log", "-1", "--format=%(trailers)") == "Br3-Task: 1\n"


def test_a_snapshot_is_not_committed_over_somebody_else_s_commit(repo: Scratch) -> None:
    repo.write("new.py", "x = 1\n")
    _, seen = snapshot_of(repo)
    theirs = repo.commit("theirs")
    with pytest.raises(Exception, match="moved by somebody else"):
        snapshots.commit_snapshot(repo.path, seen, "main", "mine", {}, "2026-11-22T10:00:00Z")
    assert repo.head() == theirs


def test_a_symbolic_ref_is_deleted_and_not_what_it_points_to(repo: Scratch) -> None:
    repo.git("branch", "theirs")
    repo.git("symbolic-ref", "refs/heads/alias", "refs/heads/theirs")
    assert refs.move_together(Git(repo.path), [("refs/heads/alias", NULL_ID, repo.head())], "test")
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main", "theirs"]


def test_settings_of_the_user_s_put_nothing_else_into_logs_and_commits(repo: Scratch, tmp_path: Path) -> None:
    program = tmp_path / "gpg"
    dashes = "-" * 5
    program.write_text(
        "#!/bin/sh\ncase $* in *--verify*) echo a good one >&2; exit;; esac\nwhile read -r line; do :; done\n"
        f"printf '\\n[GNUPG:] SIG_CREATED \\n' >&2\necho '{dashes}BEGIN PGP SIGNATURE{dashes}'\necho made-up\n"
        f"echo '{dashes}END PGP SIGNATURE{dashes}'\n"
    )
    program.chmod(0o755)
    for key in ("i18n.commitEncoding", "i18n.logOutputEncoding"):
        repo.git("config", key, "ISO-8859-1")
    repo.git("config", "gpg.program", str(program))
    repo.git("config", "log.showSignature", "true")
    git = Git(repo.path)
    commit = merges.commit(git, refs.tree_of(git, "main"), [CommitId(repo.head())], "ü\n", sign=True)
    assert git("log", "--format=%s", f"main..{commit}").text == "ü"
    assert "\nencoding " not in repo.git("cat-file", "commit", commit)
    assert repo.git("log", "-1", "--format=%h", commit).startswith("a good one")
