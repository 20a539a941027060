"""Which agents are here: keys that look right and are never shown, versions, logins, agents of other packages."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from br3.agents import GROUP, NAMES, agent, brought_along
from br3.agents.configuration import bring_back_login, link_login, write_private
from br3.agents.keys import FORMS, complaint_of, find
from br3.agents.probing import probe
from br3.errors import UsageError
from br3.repo.runner import PRIVATE

ROOT = Path(__file__).parents[2]

# In parts, so that no scanner takes them for keys.
GOOD = {
    "ANTHROPIC_API_KEY": "sk-" + "ant-" + "api03-" + "a1" * 20,
    "ANTHROPIC_AUTH_TOKEN": "x" * 12,
    "CLAUDE_CODE_OAUTH_TOKEN": "sk-" + "ant-" + "oat01-" + "b2" * 20,
    "OPENAI_API_KEY": "sk-" + "proj-" + "c3" * 20,
    "CODEX_API_KEY": "sk-" + "d4" * 20,
    "GEMINI_API_KEY": "AI" + "za" + "e5" * 18,
    "GOOGLE_API_KEY": "AI" + "za" + "f6" * 18,
    "OPENROUTER_API_KEY": "sk-" + "or-v1-" + "a7" * 20,
}


@pytest.mark.parametrize("variable", FORMS)
def test_a_key_of_the_right_form_is_taken(variable: str) -> None:
    assert complaint_of(variable, GOOD[variable], {}) is None


@pytest.mark.parametrize("variable", FORMS)
@pytest.mark.parametrize("spoil", ['"{}"', "{} ", "{}\n", "a"])
def test_a_key_of_the_wrong_form_is_named_and_not_shown(variable: str, spoil: str) -> None:
    value = spoil.format(GOOD[variable])
    complaint = complaint_of(variable, value, {})
    assert complaint and variable in complaint and GOOD[variable] not in complaint


def test_the_key_of_another_provider_is_not_taken() -> None:
    assert complaint_of("OPENAI_API_KEY", GOOD["ANTHROPIC_API_KEY"], {})
    assert complaint_of("ANTHROPIC_API_KEY", GOOD["OPENAI_API_KEY"], {})


def test_another_server_has_keys_of_its_own_form() -> None:
    elsewhere = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    assert complaint_of("ANTHROPIC_API_KEY", "loopback", {})
    assert complaint_of("ANTHROPIC_API_KEY", "loopback", elsewhere) is None


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"OPENAI_API_KEY={GOOD['OPENAI_API_KEY']}\nCODEX_API_KEY=\n")
    (one,) = find(agent("codex"), {}, env_file)
    assert (one.variable, one.source, one.value) == ("OPENAI_API_KEY", ".env", GOOD["OPENAI_API_KEY"])
    (other,) = find(agent("codex"), {"OPENAI_API_KEY": GOOD["CODEX_API_KEY"]}, env_file)
    assert (other.source, other.value) == ("environment", GOOD["CODEX_API_KEY"])


def test_a_key_is_never_shown_whole() -> None:
    (key,) = find(agent("gemini"), {"GEMINI_API_KEY": GOOD["GEMINI_API_KEY"]}, None)
    assert key.masked and GOOD["GEMINI_API_KEY"] not in repr(key)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_of_an_agent_has_a_form_is_kept_from_git_and_is_in_the_example(name: str) -> None:
    example = (ROOT / ".env.example").read_text()
    for variable in agent(name).keys:
        assert variable in FORMS and variable in PRIVATE and variable in agent(name).variables
        assert f"{variable}=\n" in example


def test_the_example_names_no_key_that_no_agent_takes() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {line.lstrip("#").removesuffix("=") for line in lines if line.endswith("=")}
    assert named == {variable for name in NAMES for variable in agent(name).keys}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that leads PATH, for programs of the test's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def make(directory: Path, name: str, body: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{body}\n")
    (directory / name).chmod(0o755)


def test_an_agent_that_is_not_installed_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = probe("codex", os.environ)
    assert not found.installed and not found.ready
    assert found.hint == "npm install -g @openai/codex"


@pytest.mark.parametrize(("said", "known"), [("codex-cli 0.169.0", True), ("codex-cli 0.170.0-alpha.1", False)])
def test_a_version_is_known_or_not(program: Path, said: str, known: bool) -> None:
    make(program, "codex", f"echo '{said}'; echo 'WARNING: 9.9.9' >&2")
    found = probe("codex", os.environ)
    assert found.ready and found.version == said.split()[1] and found.known is known


def test_only_the_version_is_asked_for_and_no_key_is_given(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(program, "gemini", f'echo "$*|$GEMINI_API_KEY|$(pwd)" >> {tmp_path}/calls; echo 0.61.0')
    monkeypatch.setenv("GEMINI_API_KEY", GOOD["GEMINI_API_KEY"])
    monkeypatch.chdir(ROOT)
    assert probe("gemini", os.environ).keys
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("--version||") and not call.endswith(str(ROOT))


def test_an_agent_that_cannot_say_its_version_is_not_ready(program: Path) -> None:
    make(program, "opencode", "echo 1.2.3; exit 1")
    found = probe("opencode", os.environ)
    assert found.installed and not found.ready and found.version is None


def test_a_login_is_seen_by_its_file(program: Path, sealed: Path) -> None:
    make(program, "claude", "echo '2.1.330 (Claude Code)'")
    assert probe("claude", os.environ).login is None
    (sealed / ".claude").mkdir()
    (sealed / ".claude" / "settings.json").write_text("{}")
    assert probe("claude", os.environ).login is None
    (sealed / ".claude" / ".credentials.json").write_text("{}")
    assert probe("claude", os.environ).login == sealed / ".claude" / ".credentials.json"


def test_a_wrong_key_is_a_complaint_that_does_not_show_it(program: Path) -> None:
    make(program, "claude", "echo 2.1.330")
    found = probe("claude", {**os.environ, "ANTHROPIC_API_KEY": GOOD["OPENAI_API_KEY"]})
    assert not found.ready and GOOD["OPENAI_API_KEY"] not in repr(found)


# Configuration directories


def test_a_build_s_directory_is_linked_to_the_login(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    (home / "auth.json").write_text("login")
    for _ in range(2):
        link_login(own, home, ("auth.json", "absent.json"))
    assert [entry.name for entry in own.iterdir()] == ["auth.json"]
    assert (own / "auth.json").read_text() == "login"
    assert own.stat().st_mode & 0o777 == 0o700


def test_a_login_that_was_renewed_becomes_the_user_s(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    (home / "auth.json").write_text("old")
    link_login(own, home, ("auth.json",))
    assert bring_back_login(own, home, ("auth.json",)) == []
    (own / "fresh").write_text("new")
    (own / "fresh").replace(own / "auth.json")
    assert bring_back_login(own, home, ("auth.json",)) == ["auth.json"]
    assert (home / "auth.json").read_text() == "new" and (own / "auth.json").is_symlink()
    assert (home / "auth.json").stat().st_mode & 0o777 == 0o600


def test_a_login_that_the_user_has_renewed_since_stays(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    for place in (home, own):
        place.mkdir()
        (place / "auth.json").write_text(place.name)
    os.utime(own / "auth.json", (1, 1))
    assert bring_back_login(own, home, ("auth.json",)) == []
    assert (own / "auth.json").read_text() == "home" and (own / "auth.json").is_symlink()


def test_links_that_an_agent_has_bent_are_made_again(tmp_path: Path) -> None:
    home, own, elsewhere = tmp_path / "home", tmp_path / "own", tmp_path / "profile"
    for place in (home, own):
        place.mkdir()
    elsewhere.touch()
    (own / "auth.json").symlink_to(elsewhere)
    (own / "gone.json").symlink_to(elsewhere)
    (own / "settings.json").write_text("evil")
    for name in ("auth.json", "settings.json"):
        (home / name).write_text("mine")
    link_login(own, home, ("auth.json", "gone.json"), ("settings.json",))
    assert [(own / name).resolve() for name in ("auth.json", "settings.json")] == [
        home / "auth.json",
        home / "settings.json",
    ]
    assert not (own / "gone.json").is_symlink()
    write_private(own / "settings.json", "br3's own")
    assert (home / "settings.json").read_text() == "mine"


# Agents of other packages


def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, source: str) -> None:
    """A package with one entry point, as it lies installed."""
    (tmp_path / "robot.py").write_text(source)
    facts = tmp_path / "br3_robot-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: br3-robot\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "robot", raising=False)


def test_another_package_brings_an_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from br3.agents.shell import Shell\nclass Robot(Shell):\n    name = 'robot'\nAGENT = Robot()\n"
    bring(tmp_path, monkeypatch, "robot = robot:AGENT", source)
    assert brought_along() == ("robot",)
    assert "robot" not in sys.modules
    assert agent("robot").name == "robot"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no\\nlicence')", "RuntimeError: no"),
        ("AGENT = object()", "lacks tested_with"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_agent_of_another_package_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    bring(tmp_path, monkeypatch, "robot = robot:AGENT", source)
    with pytest.raises(UsageError) as error:
        agent("robot")
    assert said in error.value.message and "br3-robot" in error.value.message
    assert "\n" not in error.value.message and "br3-robot" in (error.value.hint or "")


def test_an_agent_of_br3_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(tmp_path, monkeypatch, "claude = robot:AGENT", "raise RuntimeError")
    assert agent("claude").tested_with and brought_along() == ()
