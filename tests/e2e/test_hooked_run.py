"""A whole run in a repository with br3's hooks: what agents commit is guarded and attributed, what br3 does is not."""

from __future__ import annotations

from random import Random

import pytest

from br3.secrets.examples import fill
from tests.conftest import Scratch

PLAN = """
[plan]
name = "hooked"
[setup]
run = ["true"]
[defaults]
agent = "shell"
retries = 0
[verify]
run = ["true"]
[hooks]
protect = ["main"]
reference_transaction = true
[[build]]
id = "storage"
owns = ["src/**"]
command = "mkdir -p src && echo hi > src/a && git add -A && git commit -qm 'Add a' && echo more > src/b"
[[build]]
id = "stray"
owns = ["docs/**"]
command = "echo x > other && git add -A && git commit -qm 'Outside'"
"""


def test_what_agents_commit_is_guarded_and_attributed_and_br3_lands_on_a_protected_base(repo: Scratch) -> None:
    repo.plan(PLAN)
    repo.br3("hooks", "install")
    said = repo.br3("run", "--trust", code=1)
    assert "not owned by stray" in said.all
    run = repo.status()["run"]
    messages = repo.git("log", "build/storage", "--not", "main", "--format=%s|%(trailers:separator=%x2C)").split("\n")
    trailers = f"Br3-Run: {run},Br3-Build: storage,Br3-Task: 1"
    assert messages == [f"storage: storage|{trailers}", f"Add a|{trailers}"]
    rows = repo.br3("sql", "--json", "SELECT run, build, task, how, files, branch, worktree FROM commits").json["rows"]
    assert rows == [[run, "storage", "1", "commit", 1, "build/storage", "storage"]]
    assert repo.git("rev-list", "--count", "main..build/stray") == "0"
    before = repo.git("rev-parse", "main")
    repo.git("commit", "--quiet", "--allow-empty", "--no-verify", "--message", "past the hooks", check=False)
    repo.git("reset", "--quiet", "--hard", "build/storage", check=False)
    assert repo.git("rev-parse", "main") == before
    assert repo.br3("merge", "--json", code=1).json["landed"] == ["storage"]
    assert repo.git("rev-parse", "main^1") == before
    blocked = [(e.build, e.data["rule"], e.data["hook"]) for e in repo.events("hook.blocked")]
    assert ("stray", "ownership", "pre-commit") in blocked
    assert (None, "protected-branch", "prepare-commit-msg") in blocked
    assert (None, "protected-branch", "reference-transaction") in blocked


def test_a_changed_plan_counts_for_hooks_once_it_is_trusted(repo: Scratch) -> None:
    repo.plan(PLAN.replace('protect = ["main"]\nreference_transaction = true', "protect = []"))
    repo.br3("hooks", "install")
    repo.commit("on main")
    repo.plan(PLAN.replace("reference_transaction = true", ""))  # protects main from now on, but nobody has said so
    repo.commit("still on main")
    said = repo.br3("hooks", "status", code=1)
    assert "br3.toml has changed" in said.out and "br3 trust" in said.out
    repo.br3("trust", "--trust")
    repo.br3("hooks", "status")
    before = repo.git("rev-parse", "main")
    repo.git("commit", "--allow-empty", "--message", "refused", check=False)
    assert repo.git("rev-parse", "main") == before


def test_a_hook_that_the_plan_asks_for_later_is_told_of(repo: Scratch) -> None:
    repo.plan(PLAN.replace("reference_transaction = true", ""))
    repo.br3("hooks", "install")
    repo.write("br3.toml", PLAN)
    repo.br3("trust", "--trust")
    assert "wants reference-transaction" in repo.br3("hooks", "status", code=1).out
    repo.br3("hooks", "install")
    assert "reference-transaction" in repo.br3("hooks", "status").out
    repo.write("br3.toml", PLAN.replace("reference_transaction = true", ""))
    repo.br3("trust", "--trust")
    assert "no longer wants" in repo.br3("hooks", "status", code=1).out
    repo.br3("hooks", "install")
    assert "reference-transaction" not in repo.br3("hooks", "status").out


def test_what_got_past_the_hooks_does_not_land(repo: Scratch) -> None:
    token = fill("ghp_<<a36>>", Random(3))
    stray = PLAN[: PLAN.index("[[build]]")] + "".join(
        f'[[build]]\nid = "{name}"\nowns = ["{name}/**"]\ncommand = "sh ../../{repo.path.name}/{name}.sh"\n'
        for name in ("past", "left", "outside", "fine")
    )
    save = "git add -A && git commit --quiet --no-verify --message work"
    leak = f"mkdir past && echo 'k = {token}' > past/a && {save}"
    repo.write("past.sh", f"{leak} && rm past/a && touch past/b && {save}\n")
    repo.write("left.sh", f"mkdir left && echo 'k = {token}' > left/a\n")  # br3 commits it
    repo.write("outside.sh", f"echo x > elsewhere && {save}\n")
    repo.write("fine.sh", f"mkdir fine && echo 'k = {token}  # br3-allow: github' > fine/a && {save}\n")
    repo.write(".gitignore", "*.sh\n")
    repo.plan(stray)
    repo.br3("hooks", "install")
    repo.br3("run", "--trust", code=1)  # where no hook is asked, ownership is asked after the attempt
    assert repo.status()["builds"]["outside"]["state"] == "failed"
    repo.br3("verify", "outside")
    said = repo.br3("merge", "--json", code=1)
    assert said.json["landed"] == ["fine"]
    reasons = {aside["id"]: aside["reason"] for aside in said.json["aside"]}
    assert set(reasons) == {"past", "left", "outside"}
    assert "past/a:1 github" in reasons["past"] and "left/a:1 github" in reasons["left"]
    assert "elsewhere ownership" in reasons["outside"]
    assert token not in said.all


def test_git_s_own_variables_do_not_lead_the_guard_astray(repo: Scratch) -> None:
    repo.plan(PLAN[: PLAN.index('[[build]]\nid = "stray"')])
    repo.br3("hooks", "install")
    repo.br3("run", "--trust")
    assert repo.br3("merge", "--json", env={"GIT_DIR": ".git"}).json["landed"] == ["storage"]


def test_without_hooks_nothing_is_held_against_them(repo: Scratch) -> None:
    repo.plan(PLAN[: PLAN.index('[[build]]\nid = "storage"')] + PLAN[PLAN.index('[[build]]\nid = "stray"') :])
    repo.br3("run", "--trust", code=1)
    repo.br3("verify", "stray")
    assert repo.br3("merge", "--json").json["landed"] == ["stray"]


NEEDING = """
[plan]
name = "needing"
[verify]
run = ["true"]
[defaults]
agent = "shell"
[[build]]
id = "first"
owns = ["first/**"]
command = "mkdir first && echo x > first/a"
[[build]]
id = "second"
needs = ["first"]
owns = ["second/**"]
command = "mkdir second && echo x > second/a"
"""


def test_what_a_build_needs_is_not_a_change_of_its_own(repo: Scratch) -> None:
    repo.plan(NEEDING)
    repo.br3("hooks", "install")
    repo.br3("run", "--trust")
    assert repo.br3("merge", "--json").json["landed"] == ["first", "second"]


def test_what_landed_meanwhile_is_not_a_change_of_its_own(repo: Scratch) -> None:
    repo.plan(NEEDING)
    repo.br3("hooks", "install")
    repo.br3("run", "first", "second", "--trust")
    repo.write("elsewhere", "x\n")
    repo.commit("by hand")
    worktree = Scratch(repo.worktree("first"))
    worktree.git("rebase", "--quiet", "main")
    repo.br3("verify", "first")
    assert "first" in repo.br3("merge", "first", "--json").json["landed"]


def test_a_stray_build_lands_when_told_and_that_is_recorded(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.plan(NEEDING.replace("mkdir first && echo x > first/a", "echo x > elsewhere"))
    repo.br3("hooks", "install")
    repo.br3("run", "first", "--trust", code=1)
    repo.git("add", "--all", cwd=repo.worktree("first"))
    repo.git("commit", "--quiet", "--no-verify", "--message", "stray", cwd=repo.worktree("first"))
    repo.br3("verify", "first")
    assert "BR3_SKIP=ownership br3 merge" in repo.br3("merge", "first", code=1).out
    monkeypatch.setenv("BR3_SKIP", "ownership")
    assert repo.br3("merge", "first", "--json").json["landed"] == ["first"]
    used = [(e.build, e.data["rule"], e.data["file"]) for e in repo.events("hook.allowed")]
    assert used == [("first", "ownership", "elsewhere")]


def test_a_rule_that_is_off_is_off_for_landing_too(repo: Scratch) -> None:
    repo.plan(
        NEEDING.replace("mkdir first && echo x > first/a", "echo x > elsewhere") + '[hooks]\noff = ["ownership"]\n'
    )
    repo.br3("hooks", "install")
    repo.br3("run", "first", "--trust")
    assert repo.br3("merge", "first", "--json").json["landed"] == ["first"]


@pytest.mark.parametrize(
    ("option", "file"),
    [("--literal-pathspecs", "elsewhere"), ("--noglob-pathspecs", "elsewhere"), ("--icase-pathspecs", "First/a")],
)
def test_no_option_for_pathspecs_widens_the_ground_of_a_build(repo: Scratch, option: str, file: str) -> None:
    repo.plan(NEEDING)
    repo.br3("hooks", "install")
    repo.br3("up", "first", "--trust")
    worktree = Scratch(repo.worktree("first"))
    before = worktree.head("HEAD")
    worktree.write(file, "x\n")
    worktree.git("add", "--all")
    worktree.git(option, "commit", "--message", "outside", check=False)
    assert worktree.head("HEAD") == before
