"""Set-up and tests of a project are read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.plan.detection import Detected, detect

INSTALLABLE = '[project]\nname = "x"\nversion = "1"\n'


def found(root: Path, files: dict[str, str], *, uv: bool = True) -> Detected:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return detect(root, lambda tool: uv and tool == "uv")


def test_nothing_is_detected_in_an_empty_directory(tmp_path: Path) -> None:
    assert found(tmp_path, {}) == Detected()


def test_a_package_is_installed_editable_by_uv(tmp_path: Path) -> None:
    detected = found(tmp_path, {"pyproject.toml": INSTALLABLE})
    assert detected.kinds == ("python",)
    assert detected.setup == ("uv venv --allow-existing", "uv pip install -e .")


def test_without_uv_a_package_is_installed_by_pip(tmp_path: Path) -> None:
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE}, uv=False).setup == (
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install -e .",
    )


def test_a_lock_file_of_uv_is_followed(tmp_path: Path) -> None:
    extras = "[project.optional-dependencies]\ntest = ['pytest']\n[dependency-groups]\ndev = []\ntests = []\n"
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE + extras, "uv.lock": ""}).setup == (
        "uv sync --extra test --group tests",
    )


def test_without_uv_its_lock_file_is_passed_over(tmp_path: Path) -> None:
    setup = found(tmp_path, {"pyproject.toml": INSTALLABLE, "uv.lock": ""}, uv=False).setup
    assert setup[0] == "python3 -m venv .venv"


def test_extras_and_groups_for_development_are_installed_and_others_not(tmp_path: Path) -> None:
    more = (
        "[project.optional-dependencies]\ndev = []\ntests = []\ndocs = []\n[dependency-groups]\ndev = []\nlint = []\n"
    )
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE + more}).setup[1] == (
        "uv pip install -e '.[dev,tests]' --group dev"
    )


def test_pip_is_renewed_before_it_is_asked_for_a_group(tmp_path: Path) -> None:
    group = "[dependency-groups]\ndev = []\n"
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE + group}, uv=False).setup == (
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install 'pip>=25.1'",
        ".venv/bin/python -m pip install -e . --group dev",
    )


def test_all_requirements_are_installed(tmp_path: Path) -> None:
    assert found(tmp_path, {"requirements.txt": "", "requirements-dev.txt": ""}).setup == (
        "uv venv --allow-existing",
        "uv pip install -r requirements-dev.txt -r requirements.txt",
    )


def test_a_pyproject_with_tools_only_is_not_installed(tmp_path: Path) -> None:
    assert found(tmp_path, {"pyproject.toml": "[tool.ruff]\n"}).setup == ("uv venv --allow-existing",)


@pytest.mark.parametrize("files", [{"setup.py": ""}, {"pyproject.toml": "[build-system]\nrequires = []\n"}])
def test_what_has_a_build_is_installed(tmp_path: Path, files: dict[str, str]) -> None:
    assert found(tmp_path, files).setup[1] == "uv pip install -e ."


@pytest.mark.parametrize(
    "files",
    [
        {"pytest.ini": ""},
        {"tests/conftest.py": ""},
        {"setup.cfg": "[tool:pytest]\n"},
        {"requirements-dev.txt": "pytest>=8\n"},
        {"tests/unit/test_a.py": "import pytest\n"},
        {"tests/test_a.py": "def test_a(): pass\n"},
    ],
)
def test_a_project_that_hints_at_pytest_is_tested_by_it(tmp_path: Path, files: dict[str, str]) -> None:
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE, **files}).verify == ("python -m pytest -q",)


def test_pytest_is_installed_when_no_dependency_brings_it(tmp_path: Path) -> None:
    assert found(tmp_path, {"pyproject.toml": INSTALLABLE, "pytest.ini": ""}).setup[-1] == "uv pip install pytest"


@pytest.mark.parametrize(
    "dependencies",
    [
        "[project.optional-dependencies]\ndev = ['pytest>=8']\n",
        "[dependency-groups]\ntest = ['pytest']\n",
    ],
)
def test_pytest_is_not_installed_twice(tmp_path: Path, dependencies: str) -> None:
    setup = found(tmp_path, {"pyproject.toml": INSTALLABLE + dependencies}).setup
    assert "uv pip install pytest" not in setup


def test_a_project_without_a_hint_at_pytest_is_tested_by_unittest(tmp_path: Path) -> None:
    files = {"pyproject.toml": INSTALLABLE, "tests/test_a.py": "import unittest\n"}
    assert found(tmp_path, files).verify == ("python -m unittest discover -s tests",)


@pytest.mark.parametrize(
    ("lock", "setup", "verify"),
    [
        ("package-lock.json", "npm ci", "npm test"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm test"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn test"),
        ("bun.lock", "bun install --frozen-lockfile", "bun run test"),
        ("README.md", "npm install --no-package-lock", "npm test"),
    ],
)
def test_the_lock_file_says_which_tool_a_node_project_uses(tmp_path: Path, lock: str, setup: str, verify: str) -> None:
    files = {"package.json": '{"scripts": {"test": "node --test"}}', lock: ""}
    assert found(tmp_path, files) == Detected(("node",), (setup,), (verify,))


@pytest.mark.parametrize(
    "package",
    [
        "{}",
        '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}',
        "not json",
        "[]",
        '{"scripts": []}',
    ],
)
def test_a_node_project_without_a_test_script_has_no_verification(tmp_path: Path, package: str) -> None:
    assert found(tmp_path, {"package.json": package}).verify == ()


def test_a_rust_project_is_known(tmp_path: Path) -> None:
    assert found(tmp_path, {"Cargo.toml": ""}) == Detected(("rust",), ("cargo fetch",), ("cargo test",))


def test_a_go_project_is_known(tmp_path: Path) -> None:
    assert found(tmp_path, {"go.mod": ""}) == Detected(("go",), ("go mod download",), ("go test ./...",))


def test_a_project_of_several_kinds_needs_all_of_it(tmp_path: Path) -> None:
    detected = found(tmp_path, {"requirements.txt": "pytest", "Cargo.toml": "", "go.mod": ""})
    assert detected.kinds == ("python", "rust", "go")
    assert detected.setup[-2:] == ("cargo fetch", "go mod download")
    assert detected.verify == ("python -m pytest -q", "cargo test", "go test ./...")


def test_an_existing_env_file_is_brought_along(tmp_path: Path) -> None:
    assert found(tmp_path, {".env": "A=1"}).copy == (".env",)


def test_broken_files_are_no_reason_to_fail(tmp_path: Path) -> None:
    assert found(tmp_path, {"pyproject.toml": "[project", "package.json": "{"}).kinds == ("python", "node")
