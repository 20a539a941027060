"""Plans in files of their own, in one repository: what is shown, landed and hinted at is of the plan that was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3 import Workspace
from br3.errors import Refused, UsageError
from tests.conftest import PYTHON, Scratch, kill_all, shell_plan, toml, until, writing
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
    assert "there is no three.toml, and nothing has been run of it" in said.err
    both.write("three.toml", shell_plan({"three-a": "true"}))
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


def test_what_was_prepared_for_another_plan_waits_for_it(both: Scratch) -> None:
    both.write("one.toml", shell_plan({"one-b": writing("b")}))
    both.br3("up", "--trust", "--plan", "one.toml")
    assert "is of another plan, and stays as it is" in both.br3("run", "--trust", "--plan", "two.toml").err
    one = next(run for run in both.br3("runs", "--json").json["runs"] if run["builds"][0]["id"] == "one-b")
    assert (one["state"], one["reason"]) == ("created", None)
    assert f"run {one['run']}: 1 build" in both.br3("run", "--trust", "--plan", "one.toml").err


def test_a_workspace_with_a_plan_is_of_its_newest_run(both: Scratch) -> None:
    assert [build.id for build in Workspace(both.path, plan=both.path / "one.toml").session().plan.builds] == ["one-a"]
    assert [build.id for build in Workspace(both.path).session().plan.builds] == ["two-a"]
    with pytest.raises(UsageError, match="nothing has been run of"):
        Workspace(both.path, plan=both.path / "three.toml").session()


def test_a_plan_is_the_same_under_another_name_and_in_another_worktree(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    repo.git("worktree", "add", "--quiet", "-b", "feature", str(tmp_path / "there"))
    repo.write("br3.toml", shell_plan({"a": writing("a", "y")}), root=tmp_path / "there")
    said = repo.br3("run", "--trust", cwd=tmp_path / "there").err
    assert "the plan has changed since run" in said and "build b: gone" in said
    assert "b: gone from the plan" in repo.br3("status").out
    repo.git("mv", "br3.toml", "week-1.toml")
    repo.commit("another name")
    assert repo.br3("merge", "--plan", "week-1.toml", "--json").json["landed"] == ["a", "b"]


def test_a_killed_run_waits_for_its_plan_and_nothing_of_it_is_done_twice(repo: Scratch, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    waits = f"echo x >> {begun}; until test -e {gate}; do {PYTHON} -c 'import time; time.sleep(0.02)'; done"
    repo.write("one.toml", shell_plan({"one-a": f"{waits}; {writing('one')}"}))
    repo.write("two.toml", shell_plan({"two-a": writing("two")}))
    repo.commit("plans")
    killed = repo.start("run", "--trust", "--plan", "one.toml")
    until(begun.exists)
    killed.kill()
    killed.communicate()
    repo.br3("run", "--trust", "--plan", "two.toml")
    one = repo.br3("runs", "--json").json["runs"][1]
    assert one["state"] in ("interrupted", "running") and one["reason"] is None
    gate.touch()
    assert "run " + one["run"] in repo.br3("run", "--trust", "--plan", "one.toml").err
    assert begun.read_text() == "x\n"
    (done,) = repo.br3("status", "--run", one["run"], "--json").json["builds"]
    assert done["verified"] and done["tasks"][0]["attempts"] == 1


def test_hints_name_plan_and_run_and_leave_what_is_quoted(repo: Scratch) -> None:
    repo.write("one.toml", shell_plan({"one-a": "br3 run x; br3 merge-them; false"}))
    repo.write("two.toml", shell_plan({"two-a": writing("two")}))
    repo.commit("plans")
    assert "br3 trust --plan one.toml --list shows them" in repo.br3("run", "--plan", "one.toml", code=3).err
    said = repo.br3("run", "--trust", "--plan", "one.toml", code=1).err
    assert "br3 logs one-a shows why, br3 run --plan one.toml tries it again" in said
    run = repo.br3("runs", "--json").json["runs"][0]["run"]
    assert "br3 run --plan one.toml" in repo.br3("attach", code=1).err, "one.toml is not what is found from here"
    repo.br3("run", "--trust", "--plan", "two.toml")
    out = repo.br3("attach", run, code=1).err
    assert f"br3 logs --run {run} one-a shows why, br3 run --plan one.toml tries it again" in out
    assert "`br3 run x; br3 merge-them; false`" in repo.br3("status", "one-a", "--run", run).out
    said = repo.br3("verify", "one-a", code=2).err
    assert "the plan has no build 'one-a'; that is one of one.toml" in said
    assert f"(--plan one.toml), or its run where that is asked for (--run {run})" in said


def test_in_a_build_s_worktree_verify_is_of_that_build_whatever_is_newest(both: Scratch) -> None:
    worktree = both.worktree("one-a")
    both.write("more", "x", root=worktree)
    both.commit("more", cwd=worktree)
    assert [b["id"] for b in both.br3("verify", "--json", cwd=worktree).json["builds"]] == ["one-a"]
    found = both.br3("verify", "--plan", "one.toml", "--json", cwd=worktree).json["builds"]
    assert [b["id"] for b in found] == ["one-a"]


def test_clean_up_of_one_plan_leaves_the_others_alone(repo: Scratch) -> None:
    manual = '[plan]\nname = "m"\n[verify]\nrun = ["true"]\n[[build]]\nid = "hand"\nagent = "manual"\nprompt = "x"\n'
    repo.write("one.toml", manual)
    repo.write("two.toml", shell_plan({"two-a": writing("two")}))
    repo.commit("plans")
    repo.br3("run", "--trust", "--plan", "one.toml")
    repo.br3("run", "--trust", "--plan", "two.toml")
    repo.br3("merge", "--plan", "two.toml")
    assert repo.br3("clean", "--plan", "two.toml", "--json").json == {
        **{"schema": 1, "removed": ["two-a"], "kept": {}, "given_up": {}, "ignored": {}, "left": {}}
    }
    assert repo.worktree("hand").exists()
    assert repo.br3("runs", "--json").json["runs"][1]["state"] == "paused", "a person has to go on with it"


def test_budgets_and_reports_are_of_the_plan_s_own_builds(repo: Scratch) -> None:
    paid = """echo '{"model": "m", "input_tokens": 5, "cost_usd": "1.00"}' >> $BR3_USAGE_FILE"""
    for name in ("one", "two"):
        head = "budget_usd = 1.5" if name == "two" else ""
        repo.write(f"{name}.toml", shell_plan({f"{name}-a": f"{paid}; {writing(name)}"}, head=head))
    repo.commit("plans")
    for name in ("one", "two"):
        repo.br3("run", "--trust", "--plan", f"{name}.toml")
    rows = {row["key"]: row for row in repo.br3("costs", "--budget", "--json").json["rows"]}
    assert (rows["(run)"]["cost_usd"], rows["(run)"]["left_usd"], rows["(run)"]["tasks_done"]) == ("1.00", "0.50", 1)
    shape = repo.br3("report", "--json").json
    assert (shape["spent"]["usd"], len(shape["runs"])) == ("1.00", 1)
    assert repo.br3("costs", "--json").json["total_usd"] == "2.00"


def test_a_build_of_several_other_plans_is_of_the_newest_of_them(both: Scratch) -> None:
    both.write("one.toml", shell_plan({"shared": writing("s")}))
    both.write("two.toml", shell_plan({"shared": writing("s"), "two-b": writing("b")}))
    both.write("three.toml", shell_plan({"three-a": writing("three")}))
    for name in ("one", "two", "three"):
        both.br3("run", "--trust", "--plan", f"{name}.toml")
    assert "shared: of the plan two.toml" in both.br3("status").out


def test_what_a_workspace_with_a_plan_looks_at_and_ends_is_of_that_plan(both: Scratch) -> None:
    workspace = Workspace(both.path, plan=both.path / "one.toml")
    status = workspace.status()
    assert status is not None and [build.id for build in status.builds] == ["one-a"]
    with pytest.raises(Refused, match=f"run {status.run} is completed already"):
        workspace.cancel()


def test_two_directories_have_two_plans_whatever_they_are_called(repo: Scratch) -> None:
    for place in ("a", "b"):
        text = shell_plan({f"{place}1": writing(f"{place}1")}).replace('[plan]\nname = "test"\n', "")
        repo.write(f"{place}/br3.toml", text)
    repo.commit("plans")
    repo.br3("run", "--trust", cwd=repo.path / "a")
    repo.br3("run", "--trust", cwd=repo.path / "b")
    assert "a1: of the plan a/br3.toml" in repo.br3("status").out
    assert "br3 finish --plan b/br3.toml" in repo.br3("run", "--plan", "b/br3.toml").out
    assert repo.br3("merge", "--plan", "a/br3.toml", "--json").json["landed"] == ["a1"]
    assert repo.br3("clean", "--json", code=3).json["removed"] == []


@pytest.mark.parametrize("renamed", [False, True])
def test_a_killed_run_of_a_plan_that_changed_is_ended_and_what_was_asked_of_it_holds(
    repo: Scratch, tmp_path: Path, tracked: str, renamed: bool
) -> None:
    begun = tmp_path / "begun"
    sleeps = f"touch {begun}; {PYTHON} -c 'import time; time.sleep(600)'"
    task = '[[build.task]]\nid = "{}"\ntitle = "x"\ncommand = {}\n'

    def plan(first: str) -> str:
        head = shell_plan({}).replace('"test"', '"one"') + '[[build]]\nid = "one-a"\n'
        return head + task.format("t1", toml(first)) + task.format("t2", toml(writing("t2")))

    repo.write("one.toml", plan(sleeps))
    repo.write("two.toml", shell_plan({"two-a": writing("two")}))
    repo.commit("plans")
    killed = repo.start("run", "--trust", "--plan", "one.toml")
    until(begun.exists)
    kill_all(tracked)
    killed.communicate()
    name = "one.toml"
    if renamed:
        repo.git("mv", "one.toml", name := "uno.toml")
    else:
        repo.br3("run", "--trust", "--plan", "two.toml")
    first = repo.br3("runs", "--json").json["runs"][-1]["run"]
    repo.br3("skip", "one-a/t2", "--run", first)
    repo.write(name, plan(writing("t1")))
    said = repo.br3("run", "--trust", "--plan", name).err
    assert f"the plan has changed since run {first}" in said
    newest, *_, oldest = repo.br3("runs", "--json").json["runs"]
    assert (oldest["run"], oldest["state"]) == (first, "cancelled")
    (build,) = repo.br3("status", "--run", newest["run"], "--json").json["builds"]
    assert [task["state"] for task in build["tasks"]] == ["completed", "skipped"]
