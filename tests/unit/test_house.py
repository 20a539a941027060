"""The house: what may import what, what stays light, and help that cannot drift."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import br3
from br3.cli import _BY_NAME, cli
from br3.telemetry.events import KINDS

PACKAGE = Path(br3.__file__).parent

# From the top down; a room imports only from those below it. errors is the ground.
ORDER = [
    "__main__",
    "cli",
    "api",
    "demo",
    "doctor",
    "everyday",
    "report",
    "release",
    "hooks",
    "landing",
    "dispatch",
    "orchestrator",
    "agents",
    "estimate",
    "workspace",
    "plan",
    "analytics",
    "models",
    "guard",
    "telemetry",
    "secrets",
    "repo",
    "wording",
    "errors",
]
STANDARD_LIBRARY_ONLY = ("guard", "telemetry", "secrets", "repo")


def modules() -> list[Path]:
    return [
        p for p in PACKAGE.rglob("*.py") if not any(part.startswith("project") for part in p.relative_to(PACKAGE).parts)
    ]


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "br3":
                found.update(f"br3.{alias.name}" for alias in node.names)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_below(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        if name.startswith("br3.") and room != "__init__":
            other = name.split(".")[1]
            if other != "__version__":
                assert other == room or ORDER.index(other) > ORDER.index(room), f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in modules() if room_of(p) in STANDARD_LIBRARY_ONLY], ids=str)
def test_the_lower_rooms_use_the_standard_library_only(path: Path) -> None:
    allowed = {"br3", "git"} if path.name == "objects.py" else {"br3"}
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in allowed, f"{path} imports {name}"


def test_only_the_repo_room_starts_git() -> None:
    for path in modules():
        if room_of(path) not in ("repo",):
            text = path.read_text()
            assert '["git"' not in text and "import git" not in text, path


def test_the_package_itself_loads_nothing() -> None:
    program = f"import sys; sys.path[:0] = [{str(PACKAGE.parent)!r}]; before = set(sys.modules); import br3"
    program += "; print(*(set(sys.modules) - before))"
    command = [sys.executable, "-I", "-S", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["br3"]


def test_every_room_says_what_it_is_for() -> None:
    for room in (room for room in ORDER if (PACKAGE / room).is_dir()):
        doc = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
        assert doc and len(doc) > 60, room


@pytest.mark.parametrize(
    "module",
    [
        "br3.cli",
        "br3.orchestrator.building",
        "br3.dispatch.dispatching",
        "br3.estimate.estimating",
        "br3.estimate.replay",
    ],
)
def test_heavy_packages_are_not_imported_before_they_are_needed(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"duckdb", "anthropic", "git", "pydantic", "rich", "psutil", "dotenv"}


def test_who_looks_at_builds_loads_nothing_that_runs_them() -> None:
    program = "import sys, br3.dispatch.standing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    running = {"br3.orchestrator.building", "br3.agents", "br3.models", "ctypes", "email", "importlib.metadata"}
    assert not set(done.stdout.split()) & running


def test_status_needs_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom br3.cli import main\n"
        "try: main(['status', '--json'])\nexcept SystemExit as e: pass\n"
        "print(*sorted({n.split('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"run": null' in done.stdout
    assert not set(done.stderr.split()) & {"duckdb", "git", "pydantic", "rich", "psutil", "dotenv"}


@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_the_short_help_beside_a_command_s_name_is_its_own(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert (command.help or "").split("\n")[0] == _BY_NAME[name][2]


def test_help_fits_on_one_screen_and_is_grouped_by_what_one_does() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output
    lines = text.splitlines()
    assert len(lines) <= 56
    assert max(map(len, lines)) <= 80
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "Plan:", "Build:", "Control:", "Land:", "Guard:", "Observe:"]


def test_a_mistyped_command_gets_the_nearest_one() -> None:
    done = subprocess.run([sys.executable, "-m", "br3", "stauts"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr


def test_every_option_of_every_command_has_help() -> None:
    import click

    def walk(command: click.Command, path: str) -> None:
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help or parameter.name == "severity", f"{path} {parameter.name}"
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                walk(command.get_command(click.Context(command), name), f"{path} {name}")  # type: ignore[arg-type]

    for name in _BY_NAME:
        walk(cli.get_command(None, name), name)  # type: ignore[arg-type]


def test_kinds_of_events_are_dotted_and_explained() -> None:
    for kind, facts in KINDS.items():
        assert facts.meaning, kind
        assert kind == "note" or kind.count(".") == 1, kind


@pytest.mark.parametrize("group", [name for name, (_, _, text) in _BY_NAME.items()])
def test_help_of_a_group_cuts_no_sentence_off(group: str) -> None:
    said = CliRunner().invoke(cli, [group, "--help"]).output
    assert "..." not in said.replace("[ARGS]...", "").partition("Commands:")[2]


def test_lines_of_git_end_at_a_newline_and_nowhere_else() -> None:
    for path in modules():
        assert ").text.splitlines(" not in path.read_text(), f"{path}: Result.lines"
