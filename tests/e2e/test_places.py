"""The whole job in the places where users have their repositories; each works or says clearly why not."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Scratch, shell_plan, writing

PLAN = shell_plan({"a": writing("a file.txt"), "b": writing("b.txt")}) + '[release]\ntag = "v1"\n'


def whole_job(repo: Scratch, *, cwd: Path | None = None) -> None:
    repo.br3("run", "--trust", cwd=cwd)
    repo.br3("finish", cwd=cwd)
    names = repo.git(
        "-c", "core.quotePath=false", "ls-tree", "--full-tree", "--name-only", "main", cwd=cwd
    ).splitlines()
    assert {"a file.txt", "b.txt"} <= set(names)
    assert repo.git("rev-parse", "v1^{commit}", cwd=cwd) == repo.git("rev-parse", "main", cwd=cwd)
    assert "build/" not in repo.git("branch", "--list", cwd=cwd)


def test_a_path_with_spaces_a_quote_and_a_letter_that_is_not_ascii(tmp_path: Path) -> None:
    repo = Scratch(tmp_path / 'my project\'s ünïcode "dir"')
    repo.path.mkdir()
    repo.git("init", "--quiet")
    repo.plan(PLAN)
    whole_job(repo)
    assert repo.git("status", "--porcelain") == ""


def test_a_bare_repository_with_linked_worktrees(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(PLAN)
    bare = tmp_path / "hub" / ".bare"
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(bare))
    hub = Scratch(bare)
    main = tmp_path / "hub" / "main"
    hub.git("worktree", "add", "--quiet", str(main), "main")
    whole_job(hub, cwd=main)
    assert (main / "b.txt").exists()
    assert hub.git("status", "--porcelain", cwd=main) == ""


def test_a_bare_repository_itself_can_be_looked_at(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(PLAN)
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(tmp_path / "bare.git"))
    bare = Scratch(tmp_path / "bare.git")
    assert "br3.toml" in bare.br3("run", "--trust", code=2).err
    bare.br3("run", "--trust", "--plan", str(repo.path / "br3.toml"))
    bare.br3("finish")
    assert bare.git("rev-parse", "v1^{commit}") == bare.head("main")


def test_a_detached_head(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.git("switch", "--quiet", "--detach")
    before = repo.git("rev-parse", "HEAD")
    whole_job(repo)
    assert repo.git("rev-parse", "HEAD") == before
    assert not (repo.path / "b.txt").exists()


def test_a_base_that_is_checked_out_dirty(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.write("README.md", "edited\n")
    whole_job(repo)
    assert repo.git("status", "--porcelain") == " M README.md"


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    repo = Scratch(tmp_path / "new")
    repo.path.mkdir()
    repo.git("init", "--quiet")
    repo.plan(PLAN, commit=False)
    said = repo.br3("run", "--trust", code=2)
    assert "has no commit yet" in said.err and "git commit" in said.err


def test_no_repository_at_all(tmp_path: Path) -> None:
    nowhere = Scratch(tmp_path)
    for command in (["run"], ["status"], ["merge"], ["init"], ["logs", "a"], ["clean"]):
        said = nowhere.br3(*command, code=2)
        assert "not in a git repository" in said.err, command
        assert "git init" in said.err


def test_a_base_that_is_not_there(repo: Scratch) -> None:
    repo.plan(PLAN.replace("[plan]", '[plan]\nbase = "develop"', 1))
    said = repo.br3("run", "--trust", code=2)
    assert "no such local branch" in said.err and "main" in said.err
    assert "br3.toml:2: plan.base: there is no local branch 'develop'" in repo.br3("plan", "check").err
    repo.git("update-ref", "refs/remotes/origin/develop", "HEAD")  # as in a clone that never had it out
    assert "next:  git branch develop origin/develop\n" in repo.br3("run", "--trust", code=2).err
    repo.plan(PLAN.replace("[plan]", '[plan]\nbase = "next;ls"', 1))
    repo.git("update-ref", "refs/remotes/origin/next;ls", "HEAD")
    assert "next:  git branch 'next;ls' 'origin/next;ls'\n" in repo.br3("run", "--trust", code=2).err


def test_no_plan(repo: Scratch) -> None:
    said = repo.br3("run", code=2)
    assert "br3 init" in said.err


def test_from_a_subdirectory(repo: Scratch) -> None:
    repo.write("deep/er/file", "x")
    repo.plan(PLAN)
    whole_job(repo, cwd=repo.path / "deep" / "er")


def test_from_a_linked_worktree_of_the_user_s(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(PLAN)
    mine = tmp_path / "mine"
    repo.git("worktree", "add", "--quiet", str(mine), "-b", "mine")
    whole_job(repo, cwd=mine)
    assert (repo.path / "b.txt").exists()
    assert not (mine / "b.txt").exists()


def test_a_symbolic_link_to_the_repository(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(PLAN)
    link = tmp_path / "link"
    link.symlink_to(repo.path)
    whole_job(repo, cwd=link)


def test_init_and_the_plan_it_writes(tmp_path: Path) -> None:
    repo = Scratch(tmp_path / "app")
    repo.path.mkdir()
    repo.git("init", "--quiet")
    repo.write("package.json", '{"scripts": {"test": "node --test"}}')
    repo.commit("begin")
    repo.br3("init")
    assert repo.br3("plan", "check").code == 0
    assert "npm" in (repo.path / "br3.toml").read_text()
    before = {p.name: p.read_bytes() for p in repo.path.iterdir() if p.is_file()}
    repo.br3("init")
    assert {p.name: p.read_bytes() for p in repo.path.iterdir() if p.is_file()} == before


def test_nothing_appears_in_the_user_s_repository_that_does_not_land(repo: Scratch) -> None:
    repo.plan(PLAN)
    config = (repo.path / ".git" / "config").read_bytes()
    files = set(repo.path.iterdir())
    repo.br3("run", "--trust")
    assert set(repo.path.iterdir()) == files
    assert repo.git("status", "--porcelain", "--ignored") == ""
    assert repo.git("for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/build/a",
        "refs/heads/build/b",
        "refs/heads/main",
    ]
    repo.br3("finish")
    assert {p.name for p in repo.path.iterdir()} - {p.name for p in files} == {"a file.txt", "b.txt"}
    assert (repo.path / ".git" / "config").read_bytes() == config
    # Where base was before the landing is kept, one ref for each run: br3 merge --undo goes back to it.
    kept, *left = repo.git("for-each-ref", "--format=%(refname)").split()
    assert kept.startswith("refs/br3/landed/")
    assert left == ["refs/heads/main", "refs/tags/v1"]
    assert [p.name for p in repo.path.parent.iterdir()] == ["project"]


def test_inside_a_submodule(repo: Scratch, tmp_path: Path) -> None:
    inner = Scratch(tmp_path / "inner")
    inner.path.mkdir()
    inner.git("init", "--quiet")
    inner.plan(PLAN)
    # As `git submodule add` lays it out; that itself is a script that wants more than git and sh.
    modules = repo.path / ".git" / "modules"
    modules.mkdir()
    repo.git("clone", "--quiet", "--separate-git-dir", str(modules / "lib"), str(inner.path), "lib")
    lib = Scratch(repo.path / "lib")
    lib.br3("run", "--trust")
    lib.br3("finish")
    assert lib.head("v1^{commit}") == lib.head("main")
    assert (lib.path / "b.txt").exists()
