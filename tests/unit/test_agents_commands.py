"""The command line, environment and configuration that each agent gets."""

from __future__ import annotations

import json
import os
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from br3.agents import NAMES, Request, agent


def request_for(tmp_path: Path, **more: object) -> Request:
    fields = {"model": "auto", "session": "new-session", **more}
    return Request(prompt_file=tmp_path / "p", usage_file=tmp_path / "u", worktree=tmp_path, **fields)  # type: ignore[arg-type]


def words_of(tmp_path: Path, name: str, **more: object) -> list[str]:
    return agent(name).command(request_for(tmp_path, **more))


def follows(words: list[str], *run: str) -> bool:
    """Whether these words stand in the command, in a row."""
    return any(tuple(words[i : i + len(run)]) == run for i in range(len(words)))


MODEL = {"claude": "--model", "codex": "-m", "gemini": "-m", "opencode": "-m", "aider": "--model"}


@pytest.mark.parametrize("name", MODEL)
def test_the_model_is_named_unless_the_agent_chooses(tmp_path: Path, name: str) -> None:
    assert follows(words_of(tmp_path, name, model="m-1"), MODEL[name], "m-1")
    assert MODEL[name] not in words_of(tmp_path, name)


RESUME = {"claude": ("--resume", "old"), "codex": ("resume", "old", "-"), "opencode": ("--session", "old")}


@pytest.mark.parametrize("name", NAMES)
def test_a_session_is_resumed_where_that_is_supported(tmp_path: Path, name: str) -> None:
    words = words_of(tmp_path, name, resume="old", command="c")
    assert agent(name).supports.resume == (name in RESUME) == ("old" in words)
    assert name not in RESUME or follows(words, *RESUME[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_is_passed_on_where_that_is_supported(tmp_path: Path, name: str) -> None:
    words = words_of(tmp_path, name, budget_usd=Decimal("1.50"), command="c")
    assert agent(name).supports.budget == ("1.50" in words)


@pytest.mark.parametrize("name", NAMES)
def test_a_system_prompt_is_added_where_that_is_supported(tmp_path: Path, name: str) -> None:
    prompt = tmp_path / "system.md"
    prompt.write_text('Say "moo".\nTwice, ünïcode.')
    request = request_for(tmp_path, system_prompt=prompt, command="c")
    given = [*agent(name).command(request), *agent(name).environment(request).values()]
    passed = [word for word in given if str(prompt) in word or "developer_instructions" in word]
    assert agent(name).supports.system_prompt == bool(passed)
    if name == "codex":  # its values are TOML
        assert tomllib.loads(passed[0])["developer_instructions"] == prompt.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_denied_where_that_is_supported(tmp_path: Path, name: str) -> None:
    request = request_for(tmp_path, denied_commands=("git push", "npm publish"), command="c", config_dir=tmp_path / "c")
    agent(name).prepare(request)
    files = [path.read_text() for path in (tmp_path / "c").rglob("*") if path.is_file()]
    given = "\n".join([*agent(name).command(request), *agent(name).environment(request).values(), *files])
    assert agent(name).supports.denied_commands == ("npm publish" in given) == ("git push" in given)


def test_claude_is_called_as_it_was_measured_to_work(tmp_path: Path) -> None:
    words = words_of(tmp_path, "claude", fallback_models=("sonnet", "haiku"))
    assert words[:2] == ["claude", "-p"]
    assert follows(words, "--output-format", "stream-json", "--verbose", "--include-partial-messages")
    assert follows(words, "--permission-mode", "dontAsk") and follows(words, "--setting-sources", "user")
    assert follows(words, "--session-id", "new-session") and follows(words, "--fallback-model", "sonnet,haiku")
    settings = json.loads(words[words.index("--settings") + 1])
    assert settings == {"permissions": {"allow": ["Bash", "Edit", "Write", "Read"], "deny": ["Bash(git push *)"]}}
    env = agent("claude").environment(request_for(tmp_path))
    for name in ("NONESSENTIAL_TRAFFIC", "AUTO_MEMORY", "BACKGROUND_TASKS"):
        assert env[f"CLAUDE_CODE_DISABLE_{name}"] == "1"
    assert env["CLAUDE_CODE_MAX_RETRIES"] == "2"


def test_codex_has_its_own_sandbox_only_when_asked(tmp_path: Path) -> None:
    assert follows(words_of(tmp_path, "codex"), "-s", "danger-full-access")
    words = words_of(tmp_path, "codex", sandbox="agent", git_dirs=(Path("/g/worktrees/a"), Path("/g/objects")))
    assert follows(words, "-s", "workspace-write", "-c", "sandbox_workspace_write.network_access=true")
    assert follows(words, "--add-dir", "/g/worktrees/a", "--add-dir", "/g/objects")
    closed = words_of(tmp_path, "codex", sandbox="agent", network=False)
    assert follows(closed, "-c", "sandbox_workspace_write.network_access=false")
    assert words[-1] == "-"


def test_gemini_is_not_asked_whether_it_trusts(tmp_path: Path) -> None:
    words = words_of(tmp_path, "gemini")
    assert follows(words, "--approval-mode", "yolo", "--skip-trust")
    assert follows(words, "--output-format", "stream-json")


@pytest.mark.parametrize(("key", "how"), [("x", "gemini-api-key"), ("", "oauth-personal")])
def test_gemini_s_settings_say_how_it_is_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, how: str
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", key)
    agent("gemini").prepare(request_for(tmp_path, config_dir=tmp_path / "c"))
    settings = tmp_path / "c" / ".gemini" / "settings.json"
    assert json.loads(settings.read_text())["security"]["auth"]["selectedType"] == how
    assert settings.stat().st_mode & 0o777 == 0o600


def test_gemini_s_rules_are_the_policy_that_it_reads(tmp_path: Path) -> None:
    request = request_for(tmp_path, config_dir=tmp_path / "c", denied_commands=('say "no"',))
    agent("gemini").prepare(request)
    words = agent("gemini").command(request)
    rules = tomllib.loads(Path(words[words.index("--policy") + 1]).read_text())["rule"]
    assert [(rule["commandPrefix"], rule["decision"]) for rule in rules] == [('say "no"', "deny")]


def test_gemini_is_told_who_commits_since_it_hides_the_user_s_configuration(tmp_path: Path) -> None:
    env = agent("gemini").environment(request_for(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        assert (env[f"GIT_{role}_NAME"], env[f"GIT_{role}_EMAIL"]) == ("A Tester", "tester@example.invalid")


def test_aider_leaves_nothing_in_the_worktree(tmp_path: Path) -> None:
    words = words_of(tmp_path, "aider")
    for option in ("--analytics-log", "--chat-history-file", "--input-history-file"):
        assert Path(words[words.index(option) + 1]).parent == tmp_path
    assert follows(words, "--message-file", str(tmp_path / "p"))
    assert "--no-suggest-shell-commands" in words and "--no-gitignore" in words


OWN = {"claude": "CLAUDE_CONFIG_DIR", "codex": "CODEX_HOME", "gemini": "GEMINI_CLI_HOME", "opencode": "XDG_DATA_HOME"}


@pytest.mark.parametrize("name", OWN)
def test_a_build_has_a_configuration_of_its_own_linked_to_the_login(tmp_path: Path, sealed: Path, name: str) -> None:
    found = agent(name)
    home = found.home(os.environ)
    assert home is not None and home.is_relative_to(sealed)
    (home / found.login[0]).parent.mkdir(parents=True, exist_ok=True)
    (home / found.login[0]).write_text("login")
    request = request_for(tmp_path, config_dir=tmp_path / "c")
    found.prepare(request)
    assert (tmp_path / "c" / found.login[0]).resolve() == home / found.login[0]
    assert found.environment(request)[OWN[name]] == str(tmp_path / "c")
    assert OWN[name] not in found.environment(request_for(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_without_a_directory_nothing_is_prepared(tmp_path: Path, sealed: Path, name: str) -> None:
    before = sorted(sealed.rglob("*"))
    agent(name).prepare(request_for(tmp_path, command="c"))
    assert sorted(sealed.rglob("*")) == before and list(tmp_path.iterdir()) == []
