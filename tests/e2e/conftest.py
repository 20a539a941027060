"""Here br3 is started as its users start it."""

import pytest

from tests.conftest import Scratch


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scratch, "forks", False)
