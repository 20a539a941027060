"""The places in which sessions of the pages begin: each function makes one below HOME and says where one stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from br3.demo.making import SCENES, make
from tests.conftest import Scratch


def empty(home: Path) -> Path:
    """Nothing at all."""
    return home


def shop(home: Path) -> Path:
    """A small Python project with a test."""
    repo = begun(home / "shop")
    repo.write("pyproject.toml", '[project]\nname = "shop"\nversion = "1.0.0"\n')
    repo.write("prices.py", "def total(prices): return sum(prices)\n")
    repo.write("tests/test_prices.py", "from prices import total\n\ndef test_total(): assert total([1, 2]) == 3\n")
    repo.commit("a shop")
    return repo.path


def tally(home: Path) -> Path:
    """The repository of ``br3 demo``, its worktrees made and its commands approved."""
    repo = Scratch(make(SCENES["week"], home / "tally"))
    repo.br3("up", "--trust")
    return repo.path


def prices(home: Path) -> Path:
    """The repository of ``br3 demo --scene landing``, its three builds verified."""
    repo = Scratch(make(SCENES["landing"], home / "prices"))
    repo.br3("run", "--trust")
    return repo.path


def clashing(home: Path) -> Path:
    """Five builds done by hand: four have begun and meet each other or main, one of them without having committed."""
    repo = begun(home / "clashing")
    builds = ("persistence", "api", "docs", "frontend", "cli")
    plan = '[plan]\nname = "clashing"\n[defaults]\nagent = "manual"\n[verify]\nrun = ["true"]\n'
    repo.write("core.py", "first\n")
    repo.write("api.py", "first\n")
    repo.plan(plan + "".join(f'[[build]]\nid = "{build}"\nprompt = "x"\n' for build in builds))
    repo.br3("up", "--trust", *builds[:4])
    where = {build: repo.worktree(build) for build in builds}
    repo.write("core.py", "of persistence\n", root=where["persistence"])
    repo.write("core.py", "of api\n", root=where["api"])
    repo.write("api.py", "of api\n", root=where["api"])
    (where["docs"] / "api.py").unlink()
    repo.write("new.py", "of frontend\n", root=where["frontend"])
    for build in builds[:4]:
        repo.commit(build, cwd=where[build])
    repo.write("core.py", "of frontend\n", root=where["frontend"])
    repo.write("new.py", "of main\n")
    repo.commit("main goes on")
    return repo.path


def desk(home: Path) -> Path:
    """A repository with a set-up and a worktree, in which somebody is at work while main goes on."""
    repo = begun(home / "shop")
    repo.write(".gitignore", ".venv/\n")
    repo.write("parser.py", "first\n")
    repo.plan(
        '[setup]\nrun = ["python3 -m venv --without-pip .venv"]\n[verify]\nrun = ["true"]\n'
        '[[build]]\nid = "docs"\nagent = "manual"\nprompt = "x"\n'
    )
    repo.br3("trust", "--trust")
    repo.br3("worktree", "new", "feature/parser")
    where = repo.worktree("feature-parser")
    repo.write("parser.py", "of a feature\n", root=where)
    repo.commit("a feature", cwd=where)
    repo.write("notes", "x\n", root=where)
    repo.write("parser.py", "of main\n")
    repo.commit("main goes on")
    return repo.path


def begun(path: Path) -> Scratch:
    """A repository of one commit, with a name for those to come."""
    repo = Scratch(path)
    path.mkdir()
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.git("config", "user.name", "Ada")
    repo.git("config", "user.email", "ada@example.invalid")
    repo.write("README.md", f"# {path.name}\n")
    repo.commit("begin")
    return repo


PLACES: dict[str, Callable[[Path], Path]] = {
    place.__name__: place for place in (empty, shop, tally, prices, clashing, desk)
}
