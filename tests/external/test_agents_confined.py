"""Real agents in the sandbox: they work as outside of it, and what is not theirs stays as it is."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.conftest import Scratch
from tests.external.agents import COMMIT, Api, bash, plan

BWRAP = 'sandbox = "bwrap"'


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_it_writes_and_commits_in_bubblewrap(repo: Scratch, environment: dict[str, str], api: Api, agent: str) -> None:
    # What lies in /tmp and is not the repository's cannot be seen.
    api.scenario("commit", [bash(f"test -e {shlex.quote(str(api.log))} || {{ {COMMIT}; }}"), {"text": "Committed."}])
    environment["SCENARIO"] = "commit"
    repo.plan(plan("a", agent, defaults=BWRAP))
    repo.br3("run", env=environment)
    assert repo.events("attempt.started")[0].data["sandbox"] == "bwrap"
    assert repo.status()["builds"]["a"]["verified"]
    assert repo.git("log", "--format=%s", "main..build/a") == "agent: add agent.txt"
    assert repo.events("security.violation") == []


def test_what_it_tries_outside_of_its_worktree_is_not_there_and_is_told(
    repo: Scratch, environment: dict[str, str], api: Api, sealed: Path
) -> None:
    (sealed / ".ssh").mkdir()
    places = [
        repo.path / "evil.txt",
        repo.path / "README.md",
        repo.worktree("b") / "evil.txt",
        sealed / ".ssh" / "x",
        repo.common_dir / "hooks" / "pre-commit",
        repo.common_dir / "config",
    ]
    before = {place: place.read_bytes() if place.exists() else None for place in places}
    # In a file: the CLI looks at what its tool is to run, and refuses by itself what it understands.
    evil = sealed / "evil.sh"
    evil.write_text("".join(f"echo evil >> {shlex.quote(str(place))}\n" for place in places))
    api.scenario("evil.a", [bash(f"sh {shlex.quote(str(evil))}; {COMMIT}"), {"text": "Committed."}])
    api.scenario("evil", [bash(COMMIT), {"text": "Committed."}])
    environment["SCENARIO"] = "evil"
    repo.plan(plan("ab", defaults=BWRAP))
    repo.br3("up", env=environment)
    assert repo.worktree("b").is_dir()
    said = repo.br3("run", env=environment)

    assert {place: place.read_bytes() if place.exists() else None for place in places} == before
    assert repo.git("log", "--format=%s", "main..build/a") == "agent: add agent.txt"
    (event,) = repo.events("security.violation")
    assert (event.build, event.data["rule"]) == ("a", "sandbox")
    assert event.data["paths"] == [str(place) for place in places]
    for place in places:
        assert str(place) in said.all


def test_codex_commits_in_its_linked_worktree_in_its_own_sandbox(
    repo: Scratch, environment: dict[str, str], api: Api, sealed: Path
) -> None:
    outside = Path("/var/tmp") / f"br3-tried-{sealed.name}-{os.getpid()}"  # it opens /tmp, where all of a test is
    api.scenario("commit", [bash(f"echo x > {shlex.quote(str(outside))}; {COMMIT}"), {"text": "Committed."}])
    environment |= {"SCENARIO": "commit", "TMPDIR": str(sealed)}  # it makes no use of a CODEX_HOME below that
    repo.plan(plan("a", "codex", defaults='sandbox = "agent"'))
    try:
        repo.br3("run", env=environment)
        assert repo.git("log", "--format=%s", "main..build/a") == "agent: add agent.txt"
        assert not outside.exists()
    finally:
        outside.unlink(missing_ok=True)
