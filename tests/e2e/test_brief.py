"""A week as its author wrote it down, to the tag: br3 plan import, br3 run, br3 finish, with real pytest and coverage.

No network: packages come from wheels that are made here, whose pytest and coverage are those that run this test.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Scratch

BRIEFS = Path(__file__).parents[1] / "briefs"
IDS = ["integration", "persistence", "ai-layer", "docs-tests"]

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["building"]

[project]
name = "buildrunner"
version = "3.0.0"
dependencies = ["pytest", "pytest-cov"]
"""
BACKEND = '''\
"""Just enough of PEP 660 for an editable install without the network."""

import os
import zipfile

INFO = "buildrunner-3.0.0.dist-info"


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "buildrunner-3.0.0-py3-none-any.whl"
    needs = "Requires-Dist: pytest\\nRequires-Dist: pytest-cov\\n"
    files = {
        "buildrunner.pth": os.getcwd() + "\\n",
        f"{INFO}/METADATA": f"Metadata-Version: 2.1\\nName: buildrunner\\nVersion: 3.0.0\\n{needs}",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(f"{path},,\\n" for path in [*files, f"{INFO}/RECORD"])
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in {**files, f"{INFO}/RECORD": record}.items():
            wheel.writestr(path, text)
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return build_editable(wheel_directory)
'''


def make_wheel(directory: Path, name: str, files: dict[str, str]) -> None:
    """A wheel with these files, that needs nothing."""
    module = name.replace("-", "_")
    info = f"{module}-99.0.dist-info"
    files = {
        **{path.replace("@INFO@", info): text for path, text in files.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    record = "".join([*lines, f"{info}/RECORD,,\n"])
    with zipfile.ZipFile(directory / f"{module}-99.0-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


@pytest.fixture
def week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: Path) -> Scratch:
    """The repository that the brief is about, with 165 tests and a remote; an agent that knows the brief's tasks."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    outside = f"{Path(pytest.__file__).parents[1]}\n"
    entry = "[console_scripts]\npytest = pytest:console_main\n"
    make_wheel(wheels, "pytest", {"outside.pth": outside, "@INFO@/entry_points.txt": entry})
    for name in ("pytest-cov", "sqlalchemy", "alembic", "anthropic", "python-dotenv"):
        make_wheel(wheels, name, {})
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, value)
    config = sealed / ".config" / "br3" / "config.toml"
    config.parent.mkdir(parents=True)
    agent = f"{PYTHON} {shlex.quote(str(BRIEFS / 'week1_agent.py'))}"
    config.write_text(f"[defaults]\ncommand = {agent!r}\n")

    repo = Scratch(tmp_path / "BuildRunner3")
    repo.path.mkdir()
    repo.git("init", "--quiet")
    repo.write("pyproject.toml", PYPROJECT)
    repo.write("building/backend.py", BACKEND)
    repo.write(".gitignore", ".venv/\n__pycache__/\n.coverage\nhtmlcov/\n.pytest_cache/\n*.egg-info/\n")
    for package in ("core", "core/routing", "core/telemetry"):
        repo.write(f"{package}/__init__.py", "")
    repo.write("core/orchestrator.py", 'def run(task):\n    return {"task": task, "status": "done"}\n')
    for module in ("routing/cost_tracker", "routing/complexity_estimator", "telemetry/event_collector"):
        repo.write(f"core/{module}.py", f'"""{module}"""\n')
    tests = (
        "import pytest\n\n\n@pytest.mark.parametrize('n', range(165))\ndef test_squares(n):\n    assert n * n >= n\n"
    )
    repo.write("tests/test_before.py", tests)
    for name in ("README", "SECURITY", "ROUTING", "TELEMETRY", "PARALLEL", "BUILD_4E_COMPLETE"):
        repo.write(f"{name}.md", f"# {name}\n\nproduction-ready\n")
    repo.commit("begin")
    repo.git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    return repo


def test_the_week_goes_from_its_brief_to_the_tag(week: Scratch, tmp_path: Path) -> None:
    imported = week.br3("plan", "import", str(BRIEFS / "week1.md"))
    assert "4 builds, 16 tasks, tag v3.1.0-alpha.4" in imported.err
    week.commit("plan")

    ran = week.br3("run", "--agent", "shell", "--trust")
    builds = week.status()["builds"]
    assert {name: build["state"] for name, build in builds.items()} == dict.fromkeys(IDS, "verified"), ran.all
    assert [build["tests"]["passed"] for build in builds.values()] == [21, 18, 15, 5]
    assert sum(len(build["tasks"]) for build in builds.values()) == 16

    finished = week.br3("finish", "--trust")
    said = finished.all
    assert said.count("✓") == 8 and said.count("\n? ") == 2 and "✗" not in said, said
    assert week.head("v3.1.0-alpha.4^{commit}") == week.head("main")
    assert week.git("log", "--merges", "--first-parent", "--reverse", "--format=%s", "main").splitlines() == [
        "docs: Update documentation accuracy and add E2E tests",
        "feat: Add persistence layer",
        "feat: Add Claude API integration",
        "feat: Wire integrations into orchestrator",
    ]
    landed = [event.data["tests"]["passed"] for event in week.events("quality.passed") if event.build is None]
    assert max(landed) == 165 + 21 + 18 + 15 + 5
    remote = week.git("ls-remote", str(tmp_path / "origin.git"), "refs/heads/main", "refs/tags/v3.1.0-alpha.4^{}")
    assert [line.split()[0] for line in remote.splitlines()] == [week.head("main")] * 2
    assert len(week.git("worktree", "list").splitlines()) == 1
    assert week.git("branch", "--format=%(refname:short)") == "main"
    message = week.git("tag", "--list", "--format=%(contents:subject)", "v3.1.0-alpha.4")
    assert message.startswith("Week 1: Critical gaps closed - 49%")
