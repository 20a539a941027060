"""The wheel carries what br3 needs at run time: it is built, installed elsewhere, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel installed in it, without its dependencies, which are this interpreter's."""
    root = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(root / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (root / "dist").glob("*.whl")
    target = root / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return target


def environment(installed: Path, home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    path = f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(installed), "PATH": path, "HOME": str(home)}


def test_it_is_the_installed_package_that_runs(installed: Path, tmp_path: Path) -> None:
    program = "import br3; print(br3.__file__)"
    env = environment(installed, tmp_path / "home")
    done = subprocess.run([sys.executable, "-P", "-c", program], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == str(installed / "br3" / "__init__.py")


def test_the_demonstration_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "bin" / "br3"), "demo", str(tmp_path / "tally")]
    env = environment(installed, tmp_path / "home")
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 4
    # The analytics, their SQL and the prices came along.
    asked = ["sql", "SELECT state, count(*) FROM builds GROUP BY state", "--json"]
    for words in (asked, ["telemetry", "summary", "--json"], ["costs", "import", "--json"], ["doctor"]):
        told = subprocess.run([command[0], *words], env=env, cwd=tmp_path / "tally", capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert words is not asked or json.loads(told.stdout)["rows"] == [["verified", 4]]


def test_it_is_a_git_command_too(installed: Path, tmp_path: Path) -> None:
    env = environment(installed, tmp_path / "home")
    done = subprocess.run(["git", "br3", "--version"], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("br3 ")


def test_the_wheel_holds_types_templates_and_nothing_of_a_build(installed: Path) -> None:
    names = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    assert {"br3/demo/project_of_landing/gitignore"} <= names
    assert {"br3/py.typed", "br3/demo/project/br3.toml", "br3/demo/project/gitignore"} <= names
    assert any(name.startswith("br3/plan/templates/") for name in names)
    assert not any(name.startswith(("tests/", "docs/")) for name in names)
    (wheel,) = (installed.parent / "dist").glob("*.whl")
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".pyc")]
