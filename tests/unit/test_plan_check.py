"""Everything wrong with a plan is told at once: where it stands, what was expected, and what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from br3.errors import UsageError
from br3.plan import refnames
from br3.plan.checking import Checked, check

FINE = '[plan]\nname = "x"\n[verify]\nrun = ["true"]\n'


def checked(directory: Path, text: str | bytes) -> Checked:
    path = directory / "br3.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return check(path, have=lambda tool: False)


def complaints(directory: Path, text: str | bytes) -> list[str]:
    """The problems as they are printed, without the directory."""
    return [str(problem).removeprefix(f"{directory}/") for problem in checked(directory, text).problems]


def build(build_id: str, *lines: str) -> str:
    return "\n".join(["[[build]]", f'id = "{build_id}"', 'prompt = "Do it."', *lines, ""])


def complaints_of(directory: Path, *builds: str) -> list[str]:
    """The problems of builds in a plan that is fine otherwise, without file and line."""
    return [line.split(": ", 1)[1] for line in complaints(directory, FINE + "".join(builds))]


def test_a_plan_without_problems_gives_a_plan(tmp_path: Path) -> None:
    result = checked(tmp_path, FINE + build("a"))
    assert result.problems == ()
    assert result.plan is not None
    assert result.plan.build("a").branch == "build/a"


def test_a_base_that_is_not_there_is_told_where_branches_are_known(tmp_path: Path) -> None:
    path = tmp_path / "br3.toml"
    path.write_text('[plan]\nname = "x"\nbase = "mian"\n[verify]\nrun = ["true"]\n' + build("a"))
    found = check(path, branches=lambda: ["main", "old"])
    assert found.plan is not None
    assert [(one.line, one.key, one.message, one.hint) for one in found.warnings] == [
        (3, "plan.base", "there is no local branch 'mian'", 'did you mean "main"?')
    ]
    assert check(path, branches=lambda: ["mian"]).warnings == ()
    assert check(path, branches=list).warnings == (), "of a repository without a commit"


def test_a_problem_is_one_line_with_file_line_key_and_hint(tmp_path: Path) -> None:
    assert complaints(tmp_path, FINE + build("a") + build("b", 'promt = "x"')) == [
        'br3.toml:11: build[1].promt: unknown key (did you mean "prompt"?)'
    ]


def test_problems_of_schema_and_meaning_come_together_in_line_order(tmp_path: Path) -> None:
    text = '[plan]\njobs = "four"\n' + build("a", 'needs = ["b"]', "retries = -1")
    result = checked(tmp_path, text)
    assert result.plan is None
    assert [(problem.line, problem.key) for problem in result.problems] == [
        (2, "plan.jobs"),
        (3, "build[0]"),
        (6, "build[0].needs[0]"),
        (7, "build[0].retries"),
    ]


def test_a_problem_inside_a_multi_line_list_is_on_its_own_line(tmp_path: Path) -> None:
    text = FINE + build("a", 'needs = [\n  "a-b",\n  # why\n  "zzz",\n]') + build("a-b")
    assert [problem.line for problem in checked(tmp_path, text).problems] == [11]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('jobs = "four"', 'plan.jobs: expected a whole number, got "four"'),
        ("jobs = 1.5", "plan.jobs: expected a whole number, got 1.5"),
        ("jobs = true", "plan.jobs: expected a whole number, got true"),
        ("jobs = 0", "plan.jobs: expected at least 1, got 0"),
        ("budget_usd = -2.5", "plan.budget_usd: expected at least 0, got -2.5"),
        ("budget_usd = inf", "plan.budget_usd: expected a number, got inf"),
        ("budget_usd = []", "plan.budget_usd: expected a number, got a list"),
        ("base = 1979-05-27", "plan.base: expected text in quotes, got 1979-05-27"),
        ('name = ""', "plan.name: may not be empty"),
        ("job = 4", 'plan.job: unknown key (did you mean "jobs"?)'),
        ('timeout = "2h"', "plan.timeout: unknown key (it belongs in [defaults] or [[build]])"),
        ("zebra = 1", "plan.zebra: unknown key"),
        ('"x y" = 1', 'plan."x y": unknown key'),
        ('worktrees = "../{rep}/{build}"', 'plan.worktrees: unknown placeholder "{rep}" (did you mean "repo"?)'),
        (
            'worktrees = "../all"',
            'plan.worktrees: "../all" would put every build in one place (it must contain {build})',
        ),
        ('worktrees = "{build"', 'plan.worktrees: "{build" has a brace without its partner'),
    ],
)
def test_a_value_of_plan_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    text = f'[plan]\n{line}\n[verify]\nrun = ["true"]\n' + build("a")
    assert complaints(tmp_path, text) == [f"br3.toml:2: {complaint}"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('timeout = "2 hours"', 'timeout: expected a duration such as "45s", "90m" or "1h30m", got "2 hours"'),
        ('timeout = "0s"', 'timeout: expected a duration such as "45s", "90m" or "1h30m", got "0s"'),
        ("timeout = 90", 'timeout: expected a duration such as "45s", "90m" or "1h30m", got 90'),
        ('agent = "cloude"', 'agent: unknown agent "cloude" (did you mean "claude"?)'),
        (
            'agent = "xyzzy"',
            'agent: unknown agent "xyzzy" (use claude, codex, gemini, opencode, aider, shell or manual)',
        ),
        ("retries = -1", "retries: expected at least 0, got -1"),
        ('setup = "make"', 'setup: expected a list, got "make" (write setup = ["make"])'),
        ('setup = [" "]', "setup[0]: expected a command, got an empty string"),
        ('command = "a\\u0000b"', r'command: "a\u0000b" has a NUL character, which no command can have'),
        ("shared = 1", "shared: expected true or false, got 1"),
        (
            'env = ["A=b"]',
            'env[0]: expected the name of an environment variable, got "A=b"'
            " (names only; values come from the environment or .env)",
        ),
        (
            'worktree = "a/b"',
            'worktree: expected the name of one directory, got "a/b" ([plan] worktrees says where it lies)',
        ),
        (
            'worktree = ".."',
            'worktree: expected the name of one directory, got ".." ([plan] worktrees says where it lies)',
        ),
        ('owns = ["/etc/**"]', 'owns[0]: "/etc/**" is an absolute path (write it relative to the repository)'),
        ('owns = ["a/../../b"]', 'owns[0]: "a/../../b" leaves the repository with ".."'),
        ('owns = ["a\\\\b"]', r'owns[0]: "a\\b" has a backslash (separate directories with "/")'),
        ('owns = ["!a"]', 'owns[0]: "!a" excludes (list what the build may change)'),
        ('branch = "a..b"', 'branch: git refuses the name "a..b": it may not contain ".."'),
        ("verify = { run = [] }", "verify.run: an empty list checks nothing (name at least one command)"),
        ("verify = { min_passed = 3 }", "verify.run: missing"),
        (
            'verify = { run = ["x"], min_coverage = 101 }',
            "verify.min_coverage: expected at most 100, got 101",
        ),
        ('verify = { run = ["x"], min_passed = -1 }', "verify.min_passed: expected at least 0, got -1"),
    ],
)
def test_a_value_of_a_build_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    assert complaints_of(tmp_path, build("a", line)) == [f"build[0].{complaint}"]


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("[verify]\nrun = []", "verify.run: an empty list checks nothing (name at least one command)"),
        ("[verify]", "verify.run: missing"),
    ],
)
def test_the_plans_own_verification_must_check_something(tmp_path: Path, section: str, complaint: str) -> None:
    assert [line.split(": ", 1)[1] for line in complaints(tmp_path, section + "\n" + build("a"))] == [complaint]


def test_copy_stays_inside_the_repository(tmp_path: Path) -> None:
    text = FINE + '[setup]\ncopy = ["../.env", "/x"]\n' + build("a")
    assert complaints(tmp_path, text) == [
        'br3.toml:6: setup.copy[0]: "../.env" leaves the repository with ".."',
        'br3.toml:6: setup.copy[1]: "/x" is an absolute path (write it relative to the repository)',
    ]


def test_a_release_tag_must_be_a_ref(tmp_path: Path) -> None:
    text = FINE + '[release]\ntag = "v 1"\n' + build("a")
    assert complaints(tmp_path, text) == [
        'br3.toml:6: release.tag: git refuses the name "v 1": it may not contain a space'
    ]


def test_a_table_written_with_the_wrong_brackets_is_told_the_right_ones(tmp_path: Path) -> None:
    assert complaints(tmp_path, '[build]\nid = "a"\n[[plan]]\n') == [
        "br3.toml:1: build: expected a list, got a table (write [[build]], with two brackets)",
        "br3.toml:3: plan: expected a table, got a list (write [plan], with one bracket)",
    ]


@pytest.mark.parametrize("given", ["", "-a", "a b", "ä", "x" * 65, ".a"])
def test_an_id_of_other_characters_is_refused(tmp_path: Path, given: str) -> None:
    text = FINE + f'[[build]]\nid = "{given}"\nbranch = "x"\nprompt = "x"\n'
    assert ["cannot be an id" in line for line in complaints(tmp_path, text)] == [True]


def test_the_longest_id_is_accepted(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("x" * 64)) == []


def test_a_build_without_an_id_is_told_so_at_its_header(tmp_path: Path) -> None:
    assert complaints(tmp_path, FINE + '[[build]]\nprompt = "x"\n') == ["br3.toml:5: build[0].id: missing"]


def test_ids_are_compared_without_regard_to_case(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("api"), build("API")) == [
        'build[1].id: "API" is used twice (case does not count)'
    ]


def test_task_ids_are_unique_within_their_build_only(tmp_path: Path) -> None:
    tasks = '[[build.task]]\nid = "T"\n[[build.task]]\nid = "t"\n'
    other = '[[build.task]]\nid = "T"\n'
    assert complaints_of(tmp_path, build("a") + tasks, build("b") + other) == [
        'build[0].task[1].id: "t" is used twice (case does not count)'
    ]


def test_the_task_id_repair_is_kept_for_br3(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a") + '[[build.task]]\nid = "Repair"\n') == [
        'build[0].task[0].id: "Repair" is kept for the attempts that mend a failed verification (choose another id)'
    ]


def test_two_builds_cannot_have_one_branch(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'branch = "Work"'), build("b", 'branch = "work"')) == [
        'build[1].branch: build "a" has the branch "Work" too'
    ]


def test_two_builds_cannot_have_one_worktree(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a"), build("b", 'worktree = "A"')) == [
        'build[1].worktree: build "a" has the worktree "a" too'
    ]


def test_branches_that_exclude_each_other_as_refs_are_refused(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'branch = "build"'), build("b")) == [
        'build[1].id: the branch "build/b" cannot exist beside "build" of build "a"'
        " (git keeps branches as paths, and a file cannot be a directory too)"
    ]


def test_branches_that_only_begin_alike_are_fine(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'branch = "work/a"'), build("b", 'branch = "work/ab"')) == []


def test_a_branch_cannot_be_the_base(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'branch = "main"')) == [
        'build[0].branch: "main" is the base that builds land on (give the build its own branch)'
    ]


def test_a_branch_cannot_exclude_the_base(tmp_path: Path) -> None:
    text = '[plan]\nbase = "build"\n[verify]\nrun = ["x"]\n' + build("a")
    assert ['the branch "build/a" cannot exist beside the base "build"' in c for c in complaints(tmp_path, text)] == [
        True
    ]


def test_an_id_that_makes_no_branch_needs_one_of_its_own(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a.lock")) == [
        'build[0].id: git refuses the branch "build/a.lock": it may not have a part that ends with ".lock" (set branch)'
    ]
    assert complaints_of(tmp_path, build("a.lock", 'branch = "fine"')) == []


def test_git_is_asked_only_about_unusual_branch_names(tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse(name: str) -> bool:
        asked.append(name)
        return False

    (tmp_path / "br3.toml").write_text(FINE + build("a") + build("b", 'branch = "bücher"'), encoding="utf-8")
    problems = check(tmp_path / "br3.toml", git_accepts_branch=refuse).problems
    assert asked == ["bücher"]
    assert [problem.message for problem in problems] == ['git refuses the name "bücher"']


@pytest.mark.parametrize(
    "name",
    [
        *("a", "a/b", "feature/x-1_2.3", "bücher", "a@b", "a{b", "a.b./c"),
        *("a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a\tb", "a\x7f", "a@{1}"),
        *("/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "-a", "HEAD"),
    ],
)
def test_a_name_is_refused_exactly_when_git_refuses_it(name: str, tmp_path: Path) -> None:
    asked = subprocess.run(
        ["git", "check-ref-format", "--branch", name], cwd=tmp_path, capture_output=True, check=False
    )
    assert (refnames.refusal(name) is None) == (asked.returncode == 0)


@pytest.mark.parametrize("name", ["", "@"])
def test_names_that_git_takes_for_something_else_are_refused(name: str) -> None:
    assert refnames.refusal(name)


@pytest.mark.parametrize("key", ["after", "needs"])
def test_an_unknown_build_is_told_with_the_nearest_id(tmp_path: Path, key: str) -> None:
    assert complaints_of(tmp_path, build("docs"), build("b", f'{key} = ["dosc", "zzz"]')) == [
        f'build[1].{key}[0]: there is no build "dosc" (did you mean "docs"?)',
        f'build[1].{key}[1]: there is no build "zzz"',
    ]


def test_a_build_cannot_wait_for_itself(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'after = ["a"]')) == ['build[0].after[0]: "a" cannot wait for itself']


def test_a_cycle_is_shown_whole_and_once_also_across_after_and_needs(tmp_path: Path) -> None:
    builds = build("a", 'after = ["c"]'), build("b", 'needs = ["a"]'), build("c", 'needs = ["b"]')
    assert complaints_of(tmp_path, *builds) == [
        "build[0].after: the builds wait for each other: a → c → b → a (leave one of these out)"
    ]


def test_a_build_behind_a_cycle_is_not_part_of_it(tmp_path: Path) -> None:
    builds = build("x", 'needs = ["a"]'), build("a", 'needs = ["b"]'), build("b", 'needs = ["a"]')
    assert ["a → b → a" in line for line in complaints_of(tmp_path, *builds)] == [True]


def test_two_cycles_are_both_shown(tmp_path: Path) -> None:
    builds = [build(one, f'after = ["{other}"]') for one, other in ("ab", "ba", "cd", "dc")]
    assert [line.split(": ")[2].split(" (")[0] for line in complaints_of(tmp_path, *builds)] == [
        "a → b → a",
        "c → d → c",
    ]


def test_overlapping_owners_are_named_with_a_pair_of_patterns(tmp_path: Path) -> None:
    builds = build("a", 'owns = ["docs", "core/**"]'), build("b", 'owns = ["x", "core/*/db.py"]')
    assert complaints_of(tmp_path, *builds) == [
        'build[1].owns[1]: "core/*/db.py" of build "b" overlaps "core/**" of build "a"'
        " (let one need the other, narrow a pattern, or set shared = true)"
    ]


def test_owners_may_overlap_when_one_needs_the_other_through_a_third(tmp_path: Path) -> None:
    builds = (
        build("a", 'owns = ["core"]'),
        build("b", 'needs = ["a"]'),
        build("c", 'needs = ["b"]', 'owns = ["core"]'),
    )
    assert complaints_of(tmp_path, *builds) == []


def test_owners_overlap_although_one_lands_after_the_other(tmp_path: Path) -> None:
    builds = build("a", 'owns = ["core"]'), build("b", 'after = ["a"]', 'owns = ["core"]')
    assert len(complaints_of(tmp_path, *builds)) == 1


def test_an_overlap_that_is_meant_is_fine(tmp_path: Path) -> None:
    assert complaints_of(tmp_path, build("a", 'owns = ["x"]', "shared = true"), build("b", 'owns = ["x"]')) == []


def test_a_file_without_extension_has_nothing_below_it_once_it_exists(tmp_path: Path) -> None:
    builds = build("a", 'owns = ["LICENSE"]'), build("b", 'owns = ["**/*.md"]')
    assert len(complaints_of(tmp_path, *builds)) == 1
    (tmp_path / "LICENSE").touch()
    assert complaints_of(tmp_path, *builds) == []
    assert complaints_of(tmp_path, *reversed(builds)) == []


def test_a_directory_that_exists_owns_what_is_below_although_it_looks_like_a_file(tmp_path: Path) -> None:
    builds = build("a", 'owns = ["v1.2"]'), build("b", 'owns = ["v1.2/x.py"]')
    assert complaints_of(tmp_path, *builds) == []
    (tmp_path / "v1.2").mkdir()
    assert len(complaints_of(tmp_path, *builds)) == 1


def test_a_build_that_nothing_verifies_is_refused(tmp_path: Path) -> None:
    own = build("b") + '[build.verify]\nrun = ["x"]\n'
    assert complaints(tmp_path, build("a") + own) == [
        "br3.toml:1: build[0]: nothing verifies this build (add [build.verify] or [verify] with run)"
    ]


def test_a_prompt_file_is_looked_for_beside_the_plan(tmp_path: Path) -> None:
    text = '[[build]]\nid = "a"\nprompt_file = "prompts/a.md"\n'
    assert complaints_of(tmp_path, text) == [
        'build[0].prompt_file: there is no file "prompts/a.md" (it is looked for beside the plan)'
    ]
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/a.md").write_text("Do it.")
    assert complaints_of(tmp_path, text) == []


def test_a_prompt_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xff\xfe")
    assert complaints_of(tmp_path, '[[build]]\nid = "a"\nprompt_file = "a.md"\n') == [
        'build[0].prompt_file: "a.md" is not UTF-8'
    ]


def test_a_prompt_file_is_a_plain_file_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    root = tmp_path / "repo"
    (root / ".git").mkdir(parents=True)
    (root / "prompts").mkdir()
    (root / "prompts/there.md").write_text("x")
    (root / "plans").mkdir()
    text = '[[build]]\nid = "a"\nprompt_file = "a.md"\n'
    (root / "plans/a.md").symlink_to(tmp_path / "secret")
    assert complaints_of(root / "plans", text) == [
        'build[0].prompt_file: "a.md" leads out of the repository (keep the prompt itself beside the plan)'
    ]
    (root / "plans/a.md").unlink()
    (root / "plans/a.md").symlink_to("../prompts/there.md")
    assert complaints_of(root / "plans", text) == []
    (root / "plans/a.md").unlink()
    os.mkfifo(root / "plans/a.md")
    assert complaints_of(root / "plans", text) == [
        'build[0].prompt_file: there is no file "a.md" (it is looked for beside the plan)'
    ]


def test_a_prompt_and_a_prompt_file_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    task = '[[build.task]]\nid = "1"\nprompt = "x"\nprompt_file = "a.md"\n'
    assert complaints_of(tmp_path, build("a", 'prompt_file = "a.md"') + task) == [
        "build[0].prompt_file: there is a prompt as well (keep prompt or prompt_file)",
        "build[0].task[0].prompt_file: there is a prompt as well (keep prompt or prompt_file)",
    ]


def test_an_agent_must_be_told_what_to_do(tmp_path: Path) -> None:
    untold = '[[build]]\nid = "a"\ntitle = "A"\n'
    assert complaints_of(tmp_path, untold) == [
        "build[0]: nothing tells the agent what to do (add prompt, prompt_file or [[build.task]])"
    ]
    assert complaints_of(tmp_path, untold + '[[build.task]]\nid = "1"\ntitle = "Write it"\n') == []
    assert complaints_of(tmp_path, untold + 'agent = "manual"\n') == []


def test_the_shell_needs_a_command_from_somewhere(tmp_path: Path) -> None:
    shell = build("a", 'agent = "shell"')
    assert complaints_of(tmp_path, shell) == [
        'build[0].agent: agent = "shell" has no command to run (add command here or in [defaults])'
    ]
    assert complaints_of(tmp_path, build("a", 'agent = "shell"', 'command = "make"')) == []
    assert complaints_of(tmp_path, '[defaults]\ncommand = "make"\n', shell) == []


def test_a_task_given_to_the_shell_needs_a_command_too(tmp_path: Path) -> None:
    task = '[[build.task]]\nid = "1"\nagent = "shell"\n'
    assert complaints_of(tmp_path, build("a") + task) == [
        'build[0].task[0].agent: agent = "shell" has no command to run (add command here or in [defaults])'
    ]


def test_a_sandbox_that_the_agent_does_not_have_is_refused(tmp_path: Path) -> None:
    says = 'sandbox = "agent": claude has none of its own (use "bwrap", or the agent codex)'
    assert complaints_of(tmp_path, build("a", 'sandbox = "agent"')) == [f"build[0].sandbox: {says}"]
    assert complaints_of(tmp_path, build("a", 'sandbox = "agent"', 'agent = "codex"')) == []
    task = '[[build.task]]\nid = "1"\nagent = "claude"\ntitle = "T"\n'
    mixed = build("a", 'sandbox = "agent"', 'agent = "codex"') + task
    assert complaints_of(tmp_path, mixed) == [f"build[0].sandbox: {says}"]
    assert complaints_of(tmp_path, '[defaults]\nsandbox = "agent"\n', build("a")) == [f"build[0]: {says}"]
    assert complaints_of(tmp_path, build("a", 'sandbox = "bwarp"')) == [
        'build[0].sandbox: expected "none", "bwrap" or "agent", got "bwarp" (did you mean "bwrap"?)'
    ]


def test_a_network_that_nothing_holds_is_refused(tmp_path: Path) -> None:
    says = 'without a sandbox nothing holds the network (add sandbox = "bwrap")'
    assert complaints_of(tmp_path, build("a", "network = false")) == [f"build[0].network: {says}"]
    assert complaints_of(tmp_path, build("a", "network = false", 'sandbox = "bwrap"')) == []
    assert complaints_of(tmp_path, "[defaults]\nnetwork = false\n", build("a")) == [f"defaults.network: {says}"]
    assert complaints_of(tmp_path, "[defaults]\nnetwork = false\n", build("a", "network = true")) == []


def test_a_model_that_nobody_knows_is_a_warning(tmp_path: Path) -> None:
    def warned(*lines: str) -> list[str]:
        return [str(warning).split(": ", 1)[1] for warning in checked(tmp_path, FINE + build("a", *lines)).warnings]

    says = 'build[0].model: no model "claude-sonet-5" is known here (did you mean "claude-sonnet-5"?)'
    assert warned('model = "claude-sonet-5"') == [says]
    assert warned('model = "claude-sonet-5"', 'agent = "opencode"') == []
    for name in ("sonnet", "claude-opus-5-5", "auto", "opus[1m]"):
        assert warned(f'model = "{name}"') == []


def test_an_agent_without_a_network_is_a_warning(tmp_path: Path) -> None:
    closed = FINE + build("a", "network = false", 'sandbox = "bwrap"')
    assert ["claude cannot reach a model" in str(warning) for warning in checked(tmp_path, closed).warnings] == [True]


def test_an_agent_of_another_package_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "br3_robot-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: br3-robot\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[br3.agents]\nrobot = robot:AGENT\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert complaints_of(tmp_path, build("a", 'agent = "robot"', 'sandbox = "agent"')) == []
    near = complaints_of(tmp_path, build("a", 'agent = "robott"'))
    assert near == ['build[0].agent: unknown agent "robott" (did you mean "robot"?)']


def test_a_command_that_no_agent_runs_is_a_warning(tmp_path: Path) -> None:
    result = checked(tmp_path, FINE + build("a", 'command = "make"'))
    assert result.plan is not None
    assert [str(warning).split(": ", 1)[1] for warning in result.warnings] == [
        'build[0].command: the agent is claude, which runs no command (add agent = "shell")'
    ]


def test_a_push_without_a_tag_is_a_warning(tmp_path: Path) -> None:
    result = checked(tmp_path, FINE + "[release]\npush = true\n" + build("a"))
    assert [warning.key for warning in result.warnings] == ["release.push"]
    assert result.plan is not None


def test_a_criterion_has_exactly_one_way_to_be_answered(tmp_path: Path) -> None:
    criteria = '[[criterion]]\nname = "x"\n[[criterion]]\nname = "y"\nrun = "a"\nask = "b"\n'
    assert complaints_of(tmp_path, criteria, build("a")) == [
        "criterion[0]: expected exactly one of run, ask and sql, got none of them",
        "criterion[1]: expected exactly one of run, ask and sql, got run and ask",
    ]


def test_a_plan_without_builds_is_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, FINE) == [
        "br3.toml:1: there is no [[build]] (add one: id, prompt, and what verifies it)"
    ]


def test_a_misspelt_build_is_told_once(tmp_path: Path) -> None:
    assert complaints(tmp_path, FINE + '[[builds]]\nid = "a"\n') == [
        'br3.toml:5: builds: unknown key (did you mean "build"?)'
    ]


def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert complaints(tmp_path, '[plan]\nname = "a"; base = "b"\n') == [
        "br3.toml:2: not TOML: Expected newline or end of document after a statement, column 11 (one key to a line)"
    ]


def test_an_unfinished_file_is_told_at_its_last_line(tmp_path: Path) -> None:
    assert complaints(tmp_path, "[plan]\njobs = [\n\n")[0].startswith("br3.toml:2: not TOML: ")


def test_what_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    assert complaints(tmp_path, b'[plan]\nname = "\xe4"\n') == ["br3.toml:2: not UTF-8 (save the file as UTF-8)"]


def test_a_file_nested_beyond_reason_is_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, "x = " + "[" * 100_000) == ["br3.toml:1: lists or tables are nested too deeply"]


def test_windows_line_endings_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    text = "\ufeff" + (FINE + build("a", "retries = -1")).replace("\n", "\r\n")
    assert complaints(tmp_path, text) == ["br3.toml:8: build[0].retries: expected at least 0, got -1"]


def test_wrong_types_everywhere_are_problems_and_never_a_crash(tmp_path: Path) -> None:
    keys = ("id", "branch", "worktree", "owns", "after", "needs", "prompt_file", "agent", "command", "task", "verify")
    for value in ("1", "[1]", "{ a = 1 }", "[[1]]", '"x"', "true"):
        text = "plan = 1\nsetup = 2\nrelease = 3\ncriterion = [4]\n" if value == "1" else ""
        text += "".join(f"[[build]]\n{key} = {value}\n" for key in keys)
        assert checked(tmp_path, text).problems


def test_control_characters_of_the_plan_do_not_reach_the_terminal(tmp_path: Path) -> None:
    lines = complaints(tmp_path, FINE + build("a", r'agent = "\u001b[2J\n"', r'"k\u001b" = 1'))
    assert lines
    assert all(line.isprintable() for line in lines)


def test_a_missing_plan_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*br3\.toml") as caught:
        check(tmp_path / "br3.toml")
    assert caught.value.hint == "br3 init"


def test_a_build_is_manual_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    tasks = '[[build.task]]\nid = "1"\ntitle = "x"\nagent = "manual"\n[[build.task]]\nid = "2"\ntitle = "y"\n'
    found = complaints_of(tmp_path, f'[[build]]\nid = "a"\n{tasks}')
    assert len(found) == 1
    assert "some of its tasks are manual and some are for claude" in found[0]


@pytest.mark.parametrize("pattern", [".", "**x", "a/x**"])
def test_a_glob_that_cannot_be_searched_for_is_refused(tmp_path: Path, pattern: str) -> None:
    head = f'[setup]\ncopy = ["{pattern}"]\n'
    found = complaints_of(tmp_path, f'{head}[[build]]\nid = "a"\nprompt = "x"\n')
    assert len(found) == 1
