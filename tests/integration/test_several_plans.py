"""Plans in files of their own, in one repository: what is shown, landed and hinted at is of the plan that was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3 import Workspace
from br3.errors import UsageError
from tests.conftest import PYTHON, Scratch, shell_plan, until, writing
from tests.integration.keeping import once

NEXT = "next: br3 finish --plan one.toml (or br3 merge --plan one.toml)"


@pytest.fixture
def both(kept_repo: Scratch) -> Scratch:
    """Each plan's build is verified; that of ``two.toml`` in the newer run."""

    def run() -> None:
        for name in ("one", "two"):
            kept_repo.write(f"{name}.toml", shell_plan({f"{name}-a": writing(name)}))
        kept_repo.commit("plans")
        for name in ("one", "two"):
            kept_repo.br3("run", "--trust", "--plan", f"{name}.toml")

    once(kept_repo, "both", run)
    return kept_repo


def test_builds_of_another_plan_are_not_gone_from_this_one(both: Scratch) -> None:
    _, older = both.br3("runs", "--json").json["runs"]
    out = both.br3("status").out
    assert f"one-a: of the plan one.toml (br3 status --run {older['run']})" in out and "gone" not in out
    assert "one-a" in both.br3("status", "--run", older["run"]).out
    both.write("one.toml", shell_plan({"one-b": writing("b")}))
    said = both.br3("run", "--trust", "--plan", "one.toml").err
    assert f"the plan has changed since run {older['run']}" in said and "two-a" not in said
    assert "the plan has changed" not in both.br3("run", "--trust", "--plan", "two.toml").err
    assert "one-a: gone from the plan" in both.br3("status").out, "one.toml has it no more"


@pytest.mark.parametrize("command", ["merge", "finish"])
def test_the_plan_that_is_named_lands_and_no_other(both: Scratch, command: str) -> None:
    done = both.br3(command, "--plan", "one.toml", "--json").json
    assert (done if command == "merge" else done["merge"])["landed"] == ["one-a"]
    assert both.path.joinpath("one").exists() and not both.path.joinpath("two").exists()
    assert not both.status()["builds"]["two-a"]["landed"]
    assert both.br3("merge", "--json").json["landed"] == ["two-a"], "the newest run is that of two.toml"


def test_all_that_follows_a_run_takes_a_plan(both: Scratch) -> None:
    assert "one-a" in both.br3("prompt", "one-a", "--plan", "one.toml").out
    assert [b["id"] for b in both.br3("verify", "--plan", "one.toml", "--json").json["builds"]] == ["one-a"]
    both.br3("merge", "--plan", "one.toml")
    release = both.br3("release", "--plan", "one.toml", "--tag", "v1", "--json").json
    assert release["commit"] == both.head()
    assert both.br3("clean", "--plan", "one.toml", "--json").json["removed"] == ["one-a"]
    assert both.br3("release", "--undo", "--plan", "one.toml", "--json").json["tag"] == "v1"


def test_what_is_hinted_at_is_of_the_same_plan(both: Scratch) -> None:
    said = both.br3("merge", "two-a", "--plan", "one.toml", code=2)
    assert "the plan has no build 'two-a'" in said.err
    assert (
        "next: br3 finish --plan one.toml (or br3 merge --plan one.toml)" in both.br3("run", "--plan", "one.toml").out
    )
    both.br3("finish", "--plan", "one.toml")
    assert "next: br3 run --plan one.toml" in both.br3("verify", "--plan", "one.toml").out
    said = both.br3("merge", "--plan", "three.toml", code=2)
    assert "nothing has been run of three.toml yet" in said.err and "br3 run --plan three.toml\n" in said.err
    assert "--undo" in both.br3("merge", "--undo", "2026", "--plan", "one.toml", code=2).err


def test_a_run_that_is_not_the_newest_any_more_when_it_ends_names_its_plan(repo: Scratch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = f"until test -e {gate}; do {PYTHON} -c 'import time; time.sleep(0.02)'; done; {writing('one')}"
    repo.write("one.toml", shell_plan({"one-a": waits}))
    repo.write("two.toml", shell_plan({"two-a": writing("two")}))
    repo.commit("plans")
    older = repo.start("run", "--trust", "--plan", "one.toml", "--json")
    until(lambda: repo.events("attempt.started"))
    run = repo.br3("runs", "--json").json["runs"][0]["run"]
    repo.br3("run", "--trust", "--plan", "two.toml")
    attached = repo.start("attach", run)
    gate.touch()
    out, err = attached.communicate()
    assert older.wait() == 0, older.communicate()
    assert NEXT in out, out + err


def test_a_run_of_another_plan_that_nobody_works_on_says_why_it_was_ended(both: Scratch) -> None:
    both.write("one.toml", shell_plan({"one-b": writing("b")}))
    both.br3("up", "--trust", "--plan", "one.toml")
    both.br3("run", "--trust", "--plan", "two.toml")
    one = next(run for run in both.br3("runs", "--json").json["runs"] if run["builds"][0]["id"] == "one-b")
    assert (one["state"], one["reason"]) == ("cancelled", "another plan was begun: two.toml")


def test_a_workspace_with_a_plan_is_of_its_newest_run(both: Scratch) -> None:
    assert [build.id for build in Workspace(both.path, plan=both.path / "one.toml").session().plan.builds] == ["one-a"]
    assert [build.id for build in Workspace(both.path).session().plan.builds] == ["two-a"]
    with pytest.raises(UsageError, match="nothing has been run of"):
        Workspace(both.path, plan=both.path / "three.toml").session()
