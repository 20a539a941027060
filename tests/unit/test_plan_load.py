"""A loaded plan needs no more looking up; a frozen one stays what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import br3.plan
from br3.errors import Br3Error, UsageError
from br3.plan.frozen import differences, freeze, thaw
from br3.plan.loading import find, load
from br3.plan.model import Criterion, Plan, Setup, Task, Verify
from br3.plan.order import landing_order, needed_by, needs_closure
from br3.plan.problems import PlanErrors

FINE = '[verify]\nrun = ["true"]\n'


class Place:
    """A directory with a plan and a home with the user's own configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "project"
        self.home = directory / "home"
        self.directory.mkdir()

    def configure(self, text: str, under: str = ".config") -> None:
        path = self.home / under / "br3/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def load(self, text: str, overrides: Mapping[str, object] | None = None, **environ: str) -> Plan:
        path = self.directory / "br3.toml"
        path.write_text(text)
        return load(path, overrides, {"HOME": str(self.home), **environ}, have=lambda tool: tool == "uv")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def build(build_id: str, *lines: str) -> str:
    return "\n".join(["[[build]]", f'id = "{build_id}"', 'prompt = "Do it."', *lines, ""])


def test_what_a_plan_does_not_say_has_a_default(place: Place) -> None:
    plan = place.load(FINE + build("a"))
    a = plan.build("a")
    assert (plan.name, plan.base, plan.jobs, plan.budget_usd) == ("project", "main", 4, None)
    assert plan.worktrees == "{parent}/{repo}.worktrees/{build}"
    assert (a.title, a.branch, a.worktree, a.retries, a.timeout_s) == ("a", "build/a", "a", 2, 7200)
    assert (a.tasks[0].agent, a.tasks[0].model) == ("claude", "auto")


def test_everything_that_a_plan_says_arrives(place: Place) -> None:
    plan = place.load(
        """
[plan]
name = "week"
base = "trunk"
jobs = 2
budget_usd = 20.50
worktrees = "/wt/{build}"
[setup]
run = ["make"]
copy = [".env"]
[verify]
run = ["make test"]
min_passed = 220
[release]
tag = "v1"
message = "One"
push = true
remote = "up"
[[build]]
id = "b"
title = "Bee"
branch = "work/b"
worktree = "wt-b"
message = "feat: b"
prompt = "Do b."
owns = ["b/**"]
deliverables = ["b.py"]
setup = ["make b"]
timeout = "1h30m"
retries = 0
budget_usd = 0.1
env = ["TOKEN"]
after = ["c"]
needs = ["d"]
[build.verify]
run = ["make test-b"]
min_passed = 18
min_coverage = 90
artifacts = ["htmlcov"]
[[build.task]]
id = "B.1"
title = "First"
minutes = 90
prompt = "Begin."
deliverables = ["x"]
[[build]]
id = "c"
prompt = "c"
[[build]]
id = "d"
prompt = "d"
[[criterion]]
name = "kept"
sql = "SELECT true"
"""
    )
    b = plan.build("b")
    assert (plan.name, plan.base, plan.jobs, plan.budget_usd, plan.worktrees) == (
        "week", "trunk", 2, "20.5", "/wt/{build}",
    )  # fmt: skip
    assert plan.setup == Setup(("make",), (".env",), detected=False)
    assert (plan.release.tag, plan.release.message, plan.release.push, plan.release.remote) == (
        "v1",
        "One",
        True,
        "up",
    )
    assert plan.criteria == (Criterion("kept", sql="SELECT true"),)
    assert (b.title, b.branch, b.worktree, b.message, b.prompt) == ("Bee", "work/b", "wt-b", "feat: b", "Do b.")
    assert (b.owns, b.deliverables, b.setup, b.env) == (("b/**",), ("b.py",), ("make b",), ("TOKEN",))
    assert (b.after, b.needs) == (("c",), ("d",))
    assert (b.timeout_s, b.retries, b.budget_usd) == (5400, 0, "0.1")
    assert b.verify == Verify(("make test-b",), 18, 90, ("htmlcov",))
    assert b.tasks == (Task("B.1", "First", "Begin.", 90, ("x",)),)


def test_a_build_without_tasks_is_one_task_told_by_the_builds_prompt(place: Place) -> None:
    a = place.load(FINE + build("a", 'title = "Ay"')).build("a")
    assert a.prompt == "Do it."
    assert a.tasks == (Task("1", "Ay", ""),)


def test_a_build_without_verification_is_held_to_the_plans_commands_but_not_its_counts(place: Place) -> None:
    plan = place.load('[verify]\nrun = ["pytest"]\nmin_passed = 220\nmin_coverage = 80\n' + build("a"))
    assert plan.verify == Verify(("pytest",), 220, 80)
    assert plan.build("a").verify == Verify(("pytest",))


def test_prompt_files_are_read(place: Place) -> None:
    (place.directory / "a.md").write_text("Write a.\n")
    task = '[[build.task]]\nid = "1"\nprompt_file = "a.md"\n'
    a = place.load(FINE + '[[build]]\nid = "a"\nprompt_file = "a.md"\n' + task).build("a")
    assert (a.prompt, a.tasks[0].prompt) == ("Write a.\n", "Write a.\n")


def test_a_plan_without_setup_gets_the_detected_one(place: Place) -> None:
    (place.directory / "Cargo.toml").touch()
    (place.directory / ".env").touch()
    assert place.load(FINE + build("a")).setup == Setup(("cargo fetch",), (".env",), detected=True)


def test_setup_is_detected_at_the_root_of_the_worktree(place: Place) -> None:
    (place.directory.parent / ".git").mkdir()
    (place.directory.parent / "go.mod").touch()
    assert place.load(FINE + build("a")).setup.run == ("go mod download",)


def test_a_directory_that_looks_like_a_file_is_owned_with_what_is_below(place: Place) -> None:
    (place.directory / "v1.2").mkdir()
    assert place.load(FINE + build("a", 'owns = ["v1.2", "x.py"]')).build("a").owns == ("v1.2/", "x.py")


def test_each_source_wins_over_those_below_it(place: Place) -> None:
    def model(plan_says: str = "", overrides: Mapping[str, object] | None = None, **environ: str) -> str:
        return place.load(FINE + plan_says, overrides, **environ).build("a").tasks[0].model

    task = '[[build.task]]\nid = "1"\ntitle = "x"\n'
    assert model(build("a")) == "auto"
    place.configure('[defaults]\nmodel = "user"\n')
    assert model(build("a")) == "user"
    defaults = '[defaults]\nmodel = "plan"\n'
    assert model(defaults + build("a")) == "plan"
    assert model(defaults + build("a", 'model = "build"')) == "build"
    told = defaults + build("a", 'model = "build"') + task + 'model = "task"\n'
    assert model(told) == "task"
    assert model(told, BR3_MODEL="environment") == "environment"
    assert model(told, {"model": "command line"}, BR3_MODEL="environment") == "command line"


def test_the_command_line_can_set_each_of_its_values(place: Place) -> None:
    text = "[plan]\njobs = 1\nbudget_usd = 1\n" + FINE + build("a", "retries = 1", 'timeout = "1m"', 'command = "x"')
    overrides = {"jobs": 3, "agent": "shell", "retries": 0, "timeout": "5m", "budget_usd": "2.50"}
    plan = place.load(text, overrides)
    a = plan.build("a")
    assert (plan.jobs, plan.budget_usd, a.retries, a.timeout_s) == (3, "2.5", 0, 300)
    assert (a.tasks[0].agent, a.tasks[0].command) == ("shell", "x")


def test_the_environment_can_set_each_of_its_values(place: Place) -> None:
    environ = {"JOBS": "3", "AGENT": "manual", "RETRIES": "0", "TIMEOUT": "5m", "BUDGET_USD": "2.50"}
    plan = place.load(FINE + build("a"), {}, **{f"BR3_{name}": value for name, value in environ.items()})
    a = plan.build("a")
    assert (plan.jobs, plan.budget_usd, a.retries, a.timeout_s) == (3, "2.5", 0, 300)
    assert a.manual


def test_what_is_not_given_on_the_command_line_overrides_nothing(place: Place) -> None:
    assert place.load("[plan]\njobs = 1\n" + FINE + build("a"), {"jobs": None}, BR3_JOBS="").jobs == 1
    assert place.load(FINE + build("a"), {"jobs": None}, BR3_JOBS="2").jobs == 2


def test_the_users_own_jobs_and_budget_hold_where_the_plan_is_silent(place: Place) -> None:
    place.configure('[plan]\njobs = 7\nbudget_usd = 3\n[defaults]\ntimeout = "1h"\nenv = ["A"]\nbudget_usd = 1\n')
    plan = place.load(FINE + build("a"))
    a = plan.build("a")
    assert (plan.jobs, plan.budget_usd, a.timeout_s, a.env, a.budget_usd) == (7, "3", 3600, ("A",), "1")


def test_xdg_config_home_is_where_the_users_configuration_is(place: Place) -> None:
    place.configure("[plan]\njobs = 7\n", under="elsewhere")
    assert place.load(FINE + build("a"), XDG_CONFIG_HOME=str(place.home / "elsewhere")).jobs == 7


def test_a_budget_of_zero_is_no_limit_even_over_a_default(place: Place) -> None:
    plan = place.load("[plan]\nbudget_usd = 0\n[defaults]\nbudget_usd = 5\n" + FINE + build("a", "budget_usd = 0"))
    assert (plan.budget_usd, plan.build("a").budget_usd) == (None, None)


def test_the_command_goes_to_the_shell_only(place: Place) -> None:
    tasks = '[[build.task]]\nid = "1"\ntitle = "x"\n[[build.task]]\nid = "2"\nagent = "shell"\n'
    first, second = place.load('[defaults]\ncommand = "make"\n' + FINE + build("a") + tasks).build("a").tasks
    assert (first.command, second.command) == (None, "make")


def test_an_agent_from_outside_the_plan_is_checked_with_it(place: Place) -> None:
    with pytest.raises(PlanErrors, match='agent = "shell" has no command to run'):
        place.load(FINE + build("a"), {"agent": "shell"})


@pytest.mark.parametrize(
    ("overrides", "environ", "problem"),
    [
        ({}, {"BR3_JOBS": "four"}, 'BR3_JOBS: expected a whole number, got "four"'),
        ({"jobs": 0}, {"BR3_JOBS": "four"}, "--jobs: expected at least 1, got 0"),
        ({"budget_usd": "x"}, {}, '--budget: expected a number, got "x"'),
        ({}, {"BR3_AGENT": "shel"}, 'BR3_AGENT: unknown agent "shel" (did you mean "shell"?)'),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(
    place: Place, overrides: dict[str, object], environ: dict[str, str], problem: str
) -> None:
    with pytest.raises(PlanErrors) as caught:
        place.load(FINE + build("a"), overrides, **environ)
    assert [str(each) for each in caught.value.problems] == [problem]


def test_errors_of_the_users_configuration_carry_its_name(place: Place) -> None:
    place.configure("[plan]\njobs = 4\nbase = 'x'\n")
    with pytest.raises(PlanErrors) as caught:
        place.load(FINE + build("a"))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.key) == (str(place.home / ".config/br3/config.toml"), 3, "plan.base")


def test_plan_errors_say_all_problems_and_exit_with_2(place: Place) -> None:
    with pytest.raises(PlanErrors) as caught:
        place.load("[plan]\njobs = 0\nbase = ''\n" + FINE + build("a"))
    heading, *lines = caught.value.message.split("\n")
    assert heading == "the plan has 2 problems"
    assert lines == [str(problem) for problem in caught.value.problems]
    assert caught.value.exit_code == 2


def test_the_plan_is_found_from_below_up_to_the_worktrees_root(tmp_path: Path) -> None:
    (tmp_path / "br3.toml").touch()
    inner = tmp_path / "repo" / "deep"
    inner.mkdir(parents=True)
    assert find(inner) == tmp_path / "br3.toml"
    (tmp_path / "repo/.git").write_text("gitdir: elsewhere")
    with pytest.raises(UsageError, match=r"no br3\.toml here") as caught:
        find(inner)
    assert caught.value.hint == "br3 init"
    (tmp_path / "repo/br3.toml").touch()
    assert find(inner) == tmp_path / "repo/br3.toml"


def test_builds_land_after_what_they_need_or_follow_and_else_as_written(place: Place) -> None:
    builds = build("d", 'after = ["a"]'), build("c"), build("a", 'needs = ["b"]'), build("b")
    plan = place.load(FINE + "".join(builds))
    assert [each.id for each in landing_order(plan)] == ["c", "b", "a", "d"]


def test_needs_are_followed_through_others_and_after_is_not_a_need(place: Place) -> None:
    builds = build("a"), build("b", 'needs = ["a"]'), build("c", 'needs = ["b"]'), build("d", 'after = ["c"]')
    plan = place.load(FINE + "".join(builds))
    assert needs_closure(plan, "c") == ("a", "b")
    assert needs_closure(plan, "d") == ()
    assert needed_by(plan, "a") == ("b", "c")
    assert needed_by(plan, "c") == ()


def test_a_frozen_plan_thaws_to_the_same_plan_with_its_facts(place: Place, tmp_path: Path) -> None:
    plan = place.load('[[criterion]]\nname = "x"\nask = "y"\n' + FINE + build("a", 'owns = ["x"]'))
    digest = freeze(plan, tmp_path / "runs/1", base_commit="abc", trusted=["make"])
    frozen = thaw(tmp_path / "runs/1")
    assert frozen.plan == plan
    assert frozen.digest == digest
    assert frozen.facts == {"base_commit": "abc", "trusted": ["make"]}
    assert [path.name for path in (tmp_path / "runs/1").iterdir()] == ["plan.json"]


def test_the_digest_depends_on_what_a_plan_means_not_on_how_it_is_written(place: Place, tmp_path: Path) -> None:
    one = freeze(place.load("[plan]\nbudget_usd = 20\n" + FINE + build("a")), tmp_path / "1", run="1")
    same = freeze(place.load(f"# a comment\n{FINE}[plan]\njobs = 4\nbudget_usd = 20.0\n" + build("a")), tmp_path / "2")
    other = freeze(place.load("[plan]\nbudget_usd = 21\n" + FINE + build("a")), tmp_path / "3")
    assert one == same != other


def test_a_frozen_plan_that_was_changed_is_not_used(place: Place, tmp_path: Path) -> None:
    freeze(place.load(FINE + build("a")), tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace('"true"', '"false"'))
    with pytest.raises(Br3Error, match="was changed after it was frozen"):
        thaw(tmp_path)


def test_a_frozen_plan_that_is_damaged_or_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no plan in"):
        thaw(tmp_path)
    for content in ("{", "[]", json.dumps({"plan": {}})):
        (tmp_path / "plan.json").write_text(content)
        with pytest.raises(Br3Error, match="is damaged"):
            thaw(tmp_path)


def test_differences_are_short_lines_about_what_changed(place: Place) -> None:
    old = place.load(FINE + build("a", 'setup = ["x"]') + build("b") + build("gone"))
    a, b, gone = old.builds
    tasks = (replace(a.tasks[0], agent="manual"), Task("2", "t", ""))
    new = replace(
        old,
        jobs=2,
        verify=replace(old.verify, min_passed=3),
        builds=(
            replace(a, setup=("x", "y"), prompt="line\n" * 9, tasks=tasks),
            replace(b, retries=3, budget_usd="1", verify=Verify(("make",))),
            replace(gone, id="c"),
        ),
    )
    assert differences(old, new) == [
        "plan: jobs 4 → 2",
        "verify: min_passed none → 3",
        "build gone: gone",
        "build a: prompt changed",
        "build a: setup x → x, y",
        "build a, task 1: agent claude → manual",
        "build a, task 2: new",
        "build b: retries 2 → 3",
        "build b: budget_usd none → 1",
        "build b, verify: run true → make",
        "build c: new",
    ]


def test_a_plan_does_not_differ_from_itself_but_from_another_order(place: Place) -> None:
    plan = place.load(FINE + build("a") + build("b"))
    assert differences(plan, plan) == []
    assert differences(plan, replace(plan, builds=plan.builds[::-1])) == ["order of builds: a, b → b, a"]


def test_an_orchestrator_thaws_a_plan_without_pydantic(place: Place, tmp_path: Path) -> None:
    freeze(place.load(FINE + build("a")), tmp_path)
    program = (
        "import sys, pathlib; import br3.plan; from br3.plan import thaw, landing_order, differences;"
        f"print([b.id for b in landing_order(thaw(pathlib.Path({str(tmp_path)!r})).plan)]);"
        "print('pydantic' in sys.modules)"
    )
    package_parent = str(Path(br3.__file__).parent.parent)
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=package_parent, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split("\n")[:2] == ["['a']", "False"]


def test_every_name_that_the_room_exports_is_there() -> None:
    for name in br3.plan._HOME:
        assert getattr(br3.plan, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = br3.plan.nothing
