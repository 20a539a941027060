"""Every ``console`` block of the pages, played: what is typed there prints what stands there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.consoles import Session, play, put_tools, sessions
from tests.pages import PAGES
from tests.places import PLACES

SESSIONS = [session for page in PAGES for session in sessions(page)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME without an identity for git, and today's date."""
    root = tmp_path.resolve()
    put_tools(root / "bin")
    (root / "me").mkdir()
    for name in ("GIT_CONFIG_GLOBAL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(root / "me"))
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return root / "me"


@pytest.mark.parametrize("session", SESSIONS, ids=str)
def test_what_is_typed_prints_what_the_page_shows(session: Session, home: Path) -> None:
    play(session, home, PLACES[session.place](home))
