"""What the tests of programs from outside share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.external.agents import BUBBLEWRAP, EXTERNAL, Api, install_wrappers, missing, serving


@pytest.fixture(autouse=True)
def bubblewrap(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that tests/external/install fetched is on PATH, behind the machine's own."""
    if BUBBLEWRAP.is_dir():
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{BUBBLEWRAP}")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A model API on this machine; it ends with the test."""
    with serving(tmp_path) as found:
        yield found


@pytest.fixture
def environment(sealed: Path, api: Api) -> dict[str, str]:
    """The environment of a br3 whose agents are the real ones and ask ``api``. ``SCENARIO`` names what it answers."""
    for agent in ("claude", "codex"):
        reason = missing(agent)
        assert reason is None, f"{agent} is not installed: {reason}"
    # In HOME, since a sandbox shows nothing else of the directory for temporary files.
    tools = sealed / "tools"
    install_wrappers(tools, sealed, api)
    return {
        # What is on PATH is seen in the sandbox, wherever this checkout lies.
        "PATH": os.pathsep.join([str(tools), os.environ["PATH"], str(EXTERNAL / "node_modules" / ".bin")]),
        "ANTHROPIC_API_KEY": "sk-" + "ant-" + "loopback-only-0000000000",
        "OPENAI_API_KEY": "sk-" + "loopback-only-0000000000",
        "GEMINI_API_KEY": "AI" + "za" + "loopback-only-" + "0" * 21,
        "OPENCODE_CONFIG": str(sealed / "opencode.json"),
        "SCENARIO": "write_file",
        "BR3_TRUST": "1",
    }
