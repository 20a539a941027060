"""The main job on a real repository: a clone of this project, four parallel builds with real edits and real tests.

One build needs another, two collide; what lands is tested, tagged, pushed to a bare remote, and cleaned up.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Scratch, script, toml, until

ROOT = Path(__file__).parents[2]

AGENT = '''
import os, pathlib

def edit(path, old, new):
    file = pathlib.Path(path)
    text = file.read_text()
    assert old in text, f"{path} has no {old!r}"
    file.write_text(text.replace(old, new, 1))

build = os.environ["BR3_BUILD"]
if build == "age":
    edit("br3/telemetry/locks.py", "def holder(", """def age_s(common_dir: Path, kind: str, name: str) -> float | None:
    \\"\\"\\"Seconds since the lock was last taken; None when it never was.\\"\\"\\"
    try:
        return time.time() - lock_path(common_dir, kind, name).stat().st_mtime
    except FileNotFoundError:
        return None


def holder(""")
    pathlib.Path("tests/unit/test_lock_age.py").write_text("""from br3.telemetry import locks


def test_a_lock_that_was_never_taken_has_no_age(tmp_path):
    assert locks.age_s(tmp_path, "build", "a") is None


def test_a_lock_just_taken_is_young(tmp_path):
    with locks.Lock(tmp_path, "build", "a"):
        age = locks.age_s(tmp_path, "build", "a")
        assert age is not None and age < 60
""")
elif build == "stale":
    edit("br3/telemetry/__init__.py", '"locks": ("Lock", "LockHeld", "is_held")',
         '"locks": ("Lock", "LockHeld", "age_s", "is_held")')
    pathlib.Path("tests/unit/test_lock_export.py").write_text("""from br3.telemetry import age_s


def test_the_age_is_exported(tmp_path):
    assert age_s(tmp_path, "base", "main") is None
""")
elif build == "changelog":
    edit("CHANGELOG.md", "## Unreleased\\n", "## Unreleased: locks tell their age\\n")
elif build == "rewording":
    edit("CHANGELOG.md", "## Unreleased\\n", "## Not released yet\\n")
print(f"did the edits of {build}")
'''

TESTS = f"{PYTHON} -m pytest -q -p no:cacheprovider"
OWN = f'{PYTHON} -c "import br3, os; assert br3.__file__.startswith(os.getcwd() + os.sep), br3.__file__"'


def plan(agent: str) -> str:
    def build(name: str, title: str, tests: str, least: int, rest: str = "") -> str:
        return (
            f'[[build]]\nid = "{name}"\ntitle = "{title}"\nbranch = "work/{name}"\nmessage = "feat: {title}"\n{rest}'
            f"[build.verify]\nrun = [{toml(OWN)}, {toml(f'{TESTS} {tests}')}]\nmin_passed = {least}\n"
        )

    return (
        f'[plan]\nname = "ages"\n[defaults]\nagent = "shell"\ncommand = {toml(agent)}\nretries = 0\n'
        # This interpreter has all that the tests need; what is detected would fetch it again for each worktree.
        "[setup]\nrun = []\n"
        f"[verify]\nrun = [{toml(OWN)}, {toml(f'{TESTS} tests/unit/test_replay.py tests/unit/test_lock_age.py')}]\n"
        "min_passed = 10\n"
        '[release]\ntag = "v9.9.0"\nmessage = "Ages"\n'
        + build("age", "Tell the age of a lock", "tests/unit/test_replay.py tests/unit/test_lock_age.py", 10)
        + build("stale", "Export the age", "tests/unit/test_lock_export.py", 1, 'needs = ["age"]\n')
        + build("changelog", "Say it in the changelog", "tests/unit/test_replay.py", 8)
        + build("rewording", "Reword the changelog", "tests/unit/test_replay.py", 8)
        + '[[criterion]]\nname = "tagged"\nrun = "git rev-parse --verify --quiet v9.9.0^{commit}"\n'
    )


@pytest.fixture
def clone(tmp_path: Path) -> Scratch:
    """This project as it is committed; as it lies there when it is no checkout (a source distribution)."""
    path = tmp_path / "clone"
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(path)], check=True)
        repo = Scratch(path)
        repo.git("switch", "--quiet", "--force-create", "main")
        repo.git("remote", "remove", "origin")
    else:
        shutil.copytree(ROOT, path, ignore=shutil.ignore_patterns(".venv", "__pycache__", ".external"))
        repo = Scratch(path)
        repo.git("init", "--quiet")
        repo.commit("as distributed")
    return repo


def test_four_builds_on_this_very_project_from_plan_to_pushed_tag(clone: Scratch, tmp_path: Path) -> None:
    repo = clone
    bare = tmp_path / "remote.git"
    repo.git("init", "--quiet", "--bare", str(bare))
    repo.git("remote", "add", "origin", "../remote.git")
    repo.git("push", "--quiet", "origin", "main")
    remote = Scratch(bare)
    repo.plan(plan(script(tmp_path / "tools", "agent.py", AGENT)))
    start = repo.head()

    repo.br3("run", "--trust")
    builds = repo.status()["builds"]
    assert {b: builds[b]["verified"] for b in builds} == dict.fromkeys(("age", "stale", "changelog", "rewording"), True)
    assert builds["age"]["tests"]["passed"] >= 10
    assert repo.head() == start
    assert repo.git("merge-base", "work/stale", "work/age") == repo.head("work/age")

    # Two builds collide: the later one is put aside, the rest lands, nothing is tagged.
    said = repo.br3("finish", "--push", code=1)
    assert "rewording: conflicts with changelog in CHANGELOG.md" in said.out
    assert repo.git("tag", "--list", "v9.9.0") == ""
    landed = repo.head()
    assert repo.git("log", "--first-parent", "--format=%s", f"{start}..").splitlines() == [
        "feat: Say it in the changelog",
        "feat: Export the age",
        "feat: Tell the age of a lock",
    ]
    assert remote.head("main") != landed

    # A person mends it in its worktree, and the same command goes on.
    tree = repo.worktree("rewording")
    repo.git("merge", "--quiet", "main", cwd=tree, check=False)
    assert repo.git("diff", "--name-only", "--diff-filter=U", cwd=tree) == "CHANGELOG.md"
    text = repo.git("show", "main:CHANGELOG.md")
    (tree / "CHANGELOG.md").write_text(text.replace("## Unreleased", "## Not released yet") + "\n")
    repo.commit("Merge main", cwd=tree)
    repo.br3("verify", "rewording")
    said = repo.br3("finish", "--push")
    assert "✓ tagged" in said.out

    head = repo.head()
    changelog = repo.git("show", "main:CHANGELOG.md")
    assert "## Not released yet: locks tell their age" in changelog
    assert len(repo.git("log", "--first-parent", "--merges", "--format=%H", f"{start}..").split()) == 4
    trailers = repo.git(
        "log", "--first-parent", "--format=%(trailers:key=Br3-Build,valueonly,separator=%x2C)", f"{start}.."
    )
    assert trailers.split() == ["rewording", "changelog", "stale", "age"]
    assert repo.git("cat-file", "-t", "v9.9.0") == "tag"
    assert remote.head("main") == head == remote.head("v9.9.0^{commit}")
    assert remote.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", "refs/tags/v9.9.0"]
    assert repo.git("for-each-ref", "--format=%(refname)", "refs/heads").split() == ["refs/heads/main"]
    assert len(repo.git("worktree", "list").splitlines()) == 1
    until(lambda: not repo.worktree("age").parent.exists())  # deleted in the background
    assert repo.git("status", "--porcelain") == ""

    kinds = [e.kind for e in repo.events()]
    assert kinds.count("build.verified") == 4
    assert kinds.count("landing.moved") == 2
    assert [e.build for e in repo.events("landing.aside")] == ["rewording"]
    assert kinds.count("release.pushed") == 1
    assert sorted(str(e.build) for e in repo.events("worktree.removed")) == ["age", "changelog", "rewording", "stale"]
    moved = [build for e in repo.events("landing.moved") for build in e.data["builds"]]
    assert moved == ["age", "stale", "changelog", "rewording"]
    assert repo.status()["state"] == "completed"
    assert repo.br3("status", "--json").json["problems"] == []
