"""Landing by pull request: what is pushed, what is opened and what is said, against a bare remote and fake programs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from br3.landing.forges import Place, parse
from tests.conftest import Scratch, shell_plan, toml, writing
from tests.integration.killing import git_that_kills

PR = 'landing = "pr"'

# One program for both names. What it was asked, and the requests there are, stand in its state file.
FORGE = """\
#!{python}
import json, os, sys
from urllib.parse import parse_qs, urlsplit
state_file = {state!r}
state = json.load(open(state_file))
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
text = sys.stdin.read()
secrets = sorted(k for k in os.environ if k in ("BR3_TRUST", "ANTHROPIC_API_KEY"))
state["calls"].append({{"program": name, "argv": words, "stdin": text, "secrets": secrets}})
failed = state.get("fail") and ("create" in words or "POST" in words)
option = lambda key: words[words.index(key) + 1]
answer = ""
if failed:
    sys.stderr.write("not logged in, token " + state["fail"] + "\\n")
elif name == "gh" and words[:2] == ["pr", "list"]:
    asked = (option("--head"), option("--base"))
    answer = json.dumps([r for r in state["requests"] if (r["head"], r["base"]) == asked])
elif name == "gh" and words[:2] == ["pr", "create"]:
    url = "https://github.com/o/r/pull/" + str(len(state["requests"]) + 1)
    state["requests"].append({{"head": option("--head"), "base": option("--base"), "url": url, "state": "OPEN",
                              "headRefOid": "", "isCrossRepository": False}})
    answer = url
elif name == "glab" and "POST" in words:
    asked = json.loads(text)
    url = "https://gitlab.com/g/s/r/-/merge_requests/" + str(len(state["requests"]) + 1)
    made = {{"head": asked["source_branch"], "web_url": url, "state": "opened", "sha": "",
            "source_project_id": 1, "target_project_id": 1}}
    state["requests"].append(made)
    answer = json.dumps(made)
elif name == "glab":
    query = parse_qs(urlsplit(words[-1]).query)
    answer = json.dumps([r for r in state["requests"] if r["head"] == query["source_branch"][0]])
json.dump(state, open(state_file, "w"))
print(answer)
sys.exit(1 if failed else 0)
"""


class Hosted:
    """A repository with a bare remote ``origin``, which by its URL may be a forge's."""

    def __init__(self, repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repo, self.tmp_path, self.monkeypatch = repo, tmp_path, monkeypatch
        self.bare = Scratch(tmp_path / "remote.git")
        repo.git("init", "--quiet", "--bare", str(self.bare.path))
        repo.git("remote", "add", "origin", str(self.bare.path))
        self.state = tmp_path / "forge.json"

    def run(self, plan: str) -> None:
        """The plan's builds are done, and main is at the remote as they began from it."""
        self.repo.plan(plan)
        self.repo.git("push", "--quiet", "origin", "main")
        self.repo.br3("run", "--trust")

    def on(self, url: str, program: str) -> None:
        """The remote has that URL (and is reached where it lies), and the forge's program is installed."""
        self.repo.git("remote", "set-url", "origin", url)
        self.repo.git("config", f"url.{self.bare.path}.insteadOf", url)
        self.state.write_text(json.dumps({"calls": [], "requests": []}))
        path = self.tmp_path / "forge" / program
        path.parent.mkdir()
        path.write_text(FORGE.format(python=sys.executable, state=str(self.state)))
        path.chmod(0o755)
        self.monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return list(json.loads(self.state.read_text())["calls"])

    def creating(self) -> list[dict[str, Any]]:
        return [c for c in self.calls if "create" in c["argv"] or "POST" in c["argv"]]

    def change(self, **facts: Any) -> None:
        self.state.write_text(json.dumps({**json.loads(self.state.read_text()), **facts}))

    def branches(self) -> dict[str, str]:
        listing = self.bare.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split(" ") for line in listing.splitlines())

    def requests(self, code: int = 0) -> dict[str, dict[str, Any]]:
        return {r["id"]: r for r in self.repo.br3("merge", "--json", code=code).json["requests"]}


@pytest.fixture
def hosted(repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosted:
    return Hosted(repo, tmp_path, monkeypatch)


def two(head: str = PR) -> str:
    return shell_plan({"a": writing("a"), "b": writing("b")}, head=head)


# What is pushed


def test_the_verified_branches_are_pushed_and_base_stays_everywhere(hosted: Hosted) -> None:
    hosted.run(two())
    repo, before = hosted.repo, hosted.repo.head()
    data = repo.br3("merge", "--json").json
    assert (data["base_before"], data["base_after"], data["landed"]) == (before, before, [])
    assert [(r["id"], r["state"], r["pushed"]) for r in data["requests"]] == [
        ("a", "printed", True),
        ("b", "printed", True),
    ]
    assert repo.head() == before
    assert hosted.branches() == {
        "refs/heads/main": before,
        "refs/heads/build/a": repo.head("build/a"),
        "refs/heads/build/b": repo.head("build/b"),
    }
    assert repo.git("status", "--porcelain") == ""


def test_nothing_is_pushed_unless_the_plan_or_the_command_line_says_so(hosted: Hosted) -> None:
    hosted.run(two(head=""))
    hosted.repo.br3("merge", "a")
    assert list(hosted.branches()) == ["refs/heads/main"]
    hosted.repo.br3("merge", "b", "--pr")
    assert "refs/heads/build/b" in hosted.branches()


def test_the_command_line_can_land_here_what_the_plan_would_request(hosted: Hosted) -> None:
    hosted.run(two())
    assert hosted.repo.br3("merge", "--local", "--json").json["landed"] == ["a", "b"]
    assert list(hosted.branches()) == ["refs/heads/main"]


def test_a_dry_run_pushes_nothing(hosted: Hosted) -> None:
    hosted.run(two())
    assert "would push build/a to origin" in hosted.repo.br3("merge", "--dry-run").out
    assert list(hosted.branches()) == ["refs/heads/main"]


def test_a_branch_that_is_up_to_date_is_not_pushed_again(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.repo.br3("merge")
    assert [r["pushed"] for r in hosted.requests().values()] == [False, False]
    assert len(hosted.repo.events("landing.pushed")) == 2


def test_it_is_where_branches_are_pushed_to_that_is_asked(hosted: Hosted, tmp_path: Path) -> None:
    hosted.run(two())
    hosted.repo.git("clone", "--quiet", "--bare", str(hosted.bare.path), str(tmp_path / "fork.git"))
    hosted.repo.git("config", "remote.origin.pushurl", str(tmp_path / "fork.git"))
    hosted.repo.br3("merge")
    assert [r["pushed"] for r in hosted.requests().values()] == [False, False]
    assert list(hosted.branches()) == ["refs/heads/main"]


def test_tags_and_other_branches_stay_here(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.repo.git("tag", "-a", "-m", "x", "v1", "build/a")
    hosted.repo.git("config", "push.followTags", "true")
    hosted.repo.git("config", "remote.origin.push", "+refs/heads/*:refs/heads/*")
    hosted.repo.git("branch", "private")
    hosted.repo.br3("merge", "a")
    assert list(hosted.branches()) == ["refs/heads/build/a", "refs/heads/main"]


def test_a_branch_that_the_remote_has_otherwise_is_rejected_and_never_forced(hosted: Hosted) -> None:
    hosted.run(two())
    repo = hosted.repo
    theirs = repo.git("commit-tree", "-p", "main", "-m", "theirs", "main^{tree}")
    repo.git("push", "--quiet", "origin", f"{theirs}:refs/heads/build/a")
    repo.git("config", "push.default", "matching")
    said = repo.br3("merge", code=1)
    assert "rejected   a: " in said.out and "git merge FETCH_HEAD" in said.out
    assert hosted.branches()["refs/heads/build/a"] == theirs
    assert hosted.branches()["refs/heads/build/b"] == repo.head("build/b")
    assert [e.build for e in repo.events("landing.rejected")] == ["a"]


def test_what_a_hook_of_the_remote_refuses_is_told_with_its_words(hosted: Hosted) -> None:
    hosted.run(two())
    hook = hosted.bare.write("hooks/update", '#!/bin/sh\ncase "$1" in */a) echo NOT THIS ONE >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    requests = hosted.requests(code=1)
    assert requests["a"]["state"] == "rejected" and "NOT THIS ONE" in requests["a"]["reason"]
    assert requests["b"]["state"] == "printed"
    hook.unlink()
    assert [(r["state"], r["pushed"]) for r in hosted.requests().values()] == [("printed", True), ("printed", False)]


def test_a_hook_here_that_refuses_the_push_is_told_with_its_words(hosted: Hosted) -> None:
    hosted.run(two())
    hook = hosted.repo.common_dir / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho NOT FROM HERE >&2\nexit 1\n")
    hook.chmod(0o755)
    assert "NOT FROM HERE" in hosted.requests(code=1)["b"]["reason"]


def test_what_is_not_verified_is_not_pushed(hosted: Hosted) -> None:
    plan = shell_plan({"good": writing("a"), "bad": writing("b")}, head=PR, verify="test -e a")
    hosted.repo.plan(plan)
    hosted.repo.git("push", "--quiet", "origin", "main")
    hosted.repo.br3("run", "--trust", code=1)
    data = hosted.repo.br3("merge", "--json", code=1).json
    assert [r["id"] for r in data["requests"]] == ["good"]
    assert "not verified" in data["aside"][0]["reason"]
    assert list(hosted.branches()) == ["refs/heads/build/good", "refs/heads/main"]


def test_without_the_remote_or_its_base_nothing_happens(hosted: Hosted) -> None:
    hosted.repo.plan(two())
    hosted.repo.br3("run", "--trust")
    said = hosted.repo.br3("merge", code=1)
    assert "origin has no branch main" in said.err and "git push origin main" in said.err
    hosted.repo.git("remote", "rename", "origin", "upstream")
    said = hosted.repo.br3("merge", code=2)
    assert "there is no remote 'origin'" in said.err and "upstream" in said.err
    assert hosted.branches() == {}


def test_a_remote_that_cannot_be_reached_is_an_error_without_its_token(hosted: Hosted) -> None:
    hosted.run(two())
    token = "ghp_" + "R4nd0mR4nd0mR4nd0mR4nd0mR4nd0mR4nd0m"
    hosted.repo.git("remote", "set-url", "origin", f"/nowhere/{token}/r.git")
    said = hosted.repo.br3("merge", code=1)
    assert "git ls-remote failed; nothing was opened" in said.err and "/nowhere/" in said.err
    assert token not in said.all


# What is said


def test_the_request_says_what_was_done_verified_and_paid(hosted: Hosted) -> None:
    usage = '{"model": "m-1", "input_tokens": 7, "output_tokens": 3, "cost_usd": "0.05"}'
    command = f"echo '{usage}' >> $BR3_USAGE_FILE; : > $BR3_TASK"
    plan = f'[plan]\nname = "t"\n{PR}\n[defaults]\nagent = "shell"\n[verify]\nrun = ["true"]\n'
    plan += '[[build]]\nid = "a"\ntitle = "Storage"\nmessage = "feat: keep entries\\n\\nIn one file."\n'
    plan += f"command = {toml(command)}\n"
    plan += '[[build.task]]\nid = "A.1"\ntitle = "The file"\n[[build.task]]\nid = "A.2"\ntitle = "The index"\n'
    plan += "[build.verify]\nrun = [\"echo 'Ran 3 tests in 0.1s'; echo; echo OK\", \"test -n '`'\"]\n"
    plan += f'[[build]]\nid = "b"\nneeds = ["a"]\nafter = ["a"]\ncommand = {toml(writing("y"))}\n'
    hosted.run(plan)
    said = hosted.repo.br3("merge")
    requests = hosted.requests()
    assert requests["a"]["title"] == "feat: keep entries"
    text = Path(requests["a"]["text"]).read_text()
    assert text in said.out
    run = hosted.repo.status()["run"]
    for part in (
        "In one file.\n\n### Tasks\n\n- A.1: The file\n- A.2: The index\n",
        "### Verification\n\nPassed: 3 tests passed, at tree ",
        "- `echo 'Ran 3 tests in 0.1s'; echo; echo OK`: exit code 0, ",
        "- ``test -n '`'``: exit code 0, ",
        "- Paid: 0.10 USD, 20 tokens (m-1)",
        "- b needs this one: merge it with a merge commit",
        f"\n\nBr3-Build: a\nBr3-Run: {run}\nBr3-Model: m-1\nBr3-Cost-Usd: 0.10\nBr3-Tokens: 20\n",
    ):
        assert part in text, text
    assert "- Needs a: its branch contains those commits" in Path(requests["b"]["text"]).read_text()


def test_a_secret_never_stands_in_the_text(hosted: Hosted) -> None:
    token = "ghp_" + "R4nd0mR4nd0mR4nd0mR4nd0mR4nd0mR4nd0m"
    plan = two().replace('id = "a"\n', f'id = "a"\nmessage = "feat: a {token}\\n\\nwith {token}"\n')
    hosted.run(plan)
    said = hosted.repo.br3("merge")
    request = hosted.requests()["a"]
    assert token not in said.all + Path(request["text"]).read_text() + json.dumps(request)


def test_base_that_is_ahead_of_the_remote_s_is_noted(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.repo.commit("not pushed")
    said = hosted.repo.br3("merge")
    assert "main here is 1 commit ahead of origin" in said.err


# GitHub and GitLab


def test_gh_opens_one_request_for_each_build_and_none_twice(hosted: Hosted) -> None:
    hosted.run(
        shell_plan({"a": writing("a"), "b": writing("b")}, head=PR).replace('id = "b"', 'id = "b"\nafter = ["a"]')
    )
    hosted.on("https://github.com/o/r.git", "gh")
    requests = hosted.requests()
    assert {r["state"] for r in requests.values()} == {"opened"}
    assert requests["a"]["url"] == "https://github.com/o/r/pull/1"
    first, second = hosted.creating()
    assert first["argv"] == [
        *("pr", "create", "--repo", "github.com/o/r", "--base", "main", "--head", "build/a"),
        *("--title", "a", "--body-file", "-"),
    ]
    assert first["stdin"] == Path(requests["a"]["text"]).read_text()
    assert "Lands after a (https://github.com/o/r/pull/1)" in second["stdin"]
    again = hosted.requests()
    assert [(r["state"], r["url"]) for r in again.values()] == [("open", r["url"]) for r in requests.values()]
    assert len(hosted.creating()) == 2
    assert [e.data["url"] for e in hosted.repo.events("landing.requested")] == [r["url"] for r in requests.values()]


def test_the_program_gets_no_key_and_no_consent(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.on("git@github.com:o/r.git", "gh")
    hosted.repo.br3("merge", env={"BR3_TRUST": "1", "ANTHROPIC_API_KEY": "x"})
    assert [c["secrets"] for c in hosted.calls] == [[]] * 4


def test_glab_opens_merge_requests_through_standard_input(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.on("git@gitlab.com:g/s/r.git", "glab")
    requests = hosted.requests()
    assert {r["state"] for r in requests.values()} == {"opened"}
    made = hosted.creating()[0]
    assert made["argv"][:4] == ["api", "--hostname", "gitlab.com", "projects/g%2Fs%2Fr/merge_requests"]
    asked = json.loads(made["stdin"])
    assert (asked["source_branch"], asked["target_branch"], asked["title"]) == ("build/a", "main", "a")
    assert asked["description"] == Path(requests["a"]["text"]).read_text()
    assert {r["state"] for r in hosted.requests().values()} == {"open"}
    assert len(hosted.creating()) == 2


def test_a_request_that_was_closed_stays_closed_until_the_branch_goes_on(hosted: Hosted) -> None:
    hosted.run(two())
    repo = hosted.repo
    hosted.on("https://github.com/o/r.git", "gh")
    closed = {"head": "build/a", "base": "main", "url": "https://github.com/o/r/pull/9", "state": "CLOSED"}
    hosted.change(requests=[{**closed, "headRefOid": repo.head("build/a"), "isCrossRepository": False}])
    assert hosted.requests()["a"]["state"] == "closed"
    repo.write("more", "x", root=repo.worktree("a"))
    repo.commit("more", cwd=repo.worktree("a"))
    repo.br3("verify", "a")
    assert hosted.requests()["a"]["state"] == "opened"


def test_a_fork_s_request_of_the_same_name_is_not_ours(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.on("https://github.com/o/r.git", "gh")
    theirs = {"head": "build/a", "base": "main", "url": "x", "state": "OPEN", "headRefOid": ""}
    hosted.change(requests=[{**theirs, "isCrossRepository": True}])
    assert hosted.requests()["a"]["state"] == "opened"


def test_a_program_that_fails_leaves_the_text_and_the_next_call_opens_it(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.on("https://github.com/o/r.git", "gh")
    token = "ghp_" + "R4nd0mR4nd0mR4nd0mR4nd0mR4nd0mR4nd0m"
    hosted.change(fail=token)
    said = hosted.repo.br3("merge", code=1)
    assert "not opened a: a" in said.out and "not logged in" in said.out and token not in said.all
    assert "https://github.com/o/r/compare/main...build/a?expand=1" in said.out
    hosted.change(fail=None)
    assert {r["state"] for r in hosted.requests().values()} == {"opened"}


def test_without_the_program_the_page_to_open_is_named(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.repo.git("remote", "set-url", "origin", "https://github.com/o/r.git")
    hosted.repo.git("config", f"url.{hosted.bare.path}.insteadOf", "https://github.com/o/r.git")
    git_alone = hosted.tmp_path / "git-alone"
    git_alone.mkdir()
    for program in Path(str(shutil.which("git"))).parent.glob("git*"):  # it is asked for git-upload-pack, too
        (git_alone / program.name).symlink_to(program)
    said = hosted.repo.br3("merge", env={"PATH": str(git_alone)})
    assert "open it at https://github.com/o/r/compare/main...build/a?expand=1" in said.out


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/o/r.git", ("github", "github.com", "o/r")),
        ("https://me:secret@github.com/o/r", ("github", "github.com", "o/r")),
        ("git@github.com:o/r.git", ("github", "github.com", "o/r")),
        ("ssh://git@ssh.github.com:443/o/r.git", ("github", "github.com", "o/r")),
        ("https://github.example.org/o/r", ("github", "github.example.org", "o/r")),
        ("https://gitlab.com/g/s/r.git/", ("gitlab", "gitlab.com", "g/s/r")),
        ("https://gitlab.example.org:8443/g/r", ("gitlab", "gitlab.example.org:8443", "g/r")),
        ("ssh://git@gitlab.example.org:2222/g/r.git", ("gitlab", "gitlab.example.org", "g/r")),
        ("https://notgithub.com/o/r", None),
        ("/srv/git/github.com/o/r.git", None),
        ("../r.git", None),
        ("file:///srv/r.git", None),
    ],
)
def test_which_forge_a_url_names(url: str, expected: tuple[str, str, str] | None) -> None:
    assert parse(url) == (Place(*expected) if expected else None)


# On the way to landed


def test_a_landing_here_that_was_cut_off_is_finished_first(hosted: Hosted, tmp_path: Path) -> None:
    hosted.run(two())
    repo = hosted.repo
    env = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    assert repo.br3("merge", "--local", code=None, env=env).code == -signal.SIGKILL
    assert repo.git("status", "--porcelain") != ""
    assert repo.br3("merge", "--json").json["already_landed"] == ["a", "b"]
    assert repo.git("status", "--porcelain") == ""
    assert list(hosted.branches()) == ["refs/heads/main"]


def test_once_merged_there_and_pulled_the_builds_have_landed(hosted: Hosted, tmp_path: Path) -> None:
    hosted.run(two() + '[release]\ntag = "v1"\n')
    repo = hosted.repo
    said = repo.br3("finish")
    assert "not released" in said.err and repo.git("tag", "--list") == ""
    forge = Scratch(tmp_path / "forge")
    repo.git("clone", "--quiet", str(hosted.bare.path), str(forge.path))
    forge.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/build/a")
    forge.git("merge", "--quiet", "--no-ff", "--no-edit", "origin/build/b")
    forge.git("push", "--quiet", "origin", "main", ":build/a", ":build/b")
    repo.git("pull", "--quiet", "--ff-only", "origin", "main")
    assert all(b["landed"] for b in repo.status()["builds"].values())
    repo.br3("finish")
    assert repo.head("v1^{commit}") == repo.head()
    assert list(hosted.branches()) == ["refs/heads/main"]
    assert repo.git("branch", "--format=%(refname:short)").split() == ["main"]


def test_what_was_squashed_there_is_not_requested_again(hosted: Hosted, tmp_path: Path) -> None:
    hosted.run(two())
    repo = hosted.repo
    repo.br3("merge")
    forge = Scratch(tmp_path / "forge")
    repo.git("clone", "--quiet", str(hosted.bare.path), str(forge.path))
    forge.git("merge", "--quiet", "--squash", "origin/build/a")
    forge.commit("a, squashed")
    forge.git("push", "--quiet", "origin", "main", ":build/a")
    repo.git("pull", "--quiet", "--ff-only", "origin", "main")
    data = repo.br3("merge", "--json").json
    assert (data["already_landed"], [r["id"] for r in data["requests"]]) == (["a"], ["b"])
    assert "refs/heads/build/a" not in hosted.branches()


def test_what_was_squashed_there_has_landed_after_a_clean_up_too(hosted: Hosted, tmp_path: Path) -> None:
    hosted.run(two())
    repo = hosted.repo
    repo.br3("merge")
    forge = Scratch(tmp_path / "forge")
    repo.git("clone", "--quiet", str(hosted.bare.path), str(forge.path))
    for build in "ab":
        forge.git("merge", "--quiet", "--squash", f"origin/build/{build}")
        forge.commit(f"{build}, squashed")
    forge.git("push", "--quiet", "origin", "main")
    repo.git("pull", "--quiet", "--ff-only", "origin", "main")
    repo.br3("clean")
    assert repo.git("branch", "--list", "build/*") == ""
    assert all(build["landed"] for build in repo.status()["builds"].values())
    before = len(repo.events("attempt.started"))
    assert "landed" in repo.br3("run").out
    assert len(repo.events("attempt.started")) == before


@pytest.mark.parametrize("after", [False, True])
def test_kill_9_around_the_push_and_the_next_call_finishes(hosted: Hosted, tmp_path: Path, after: bool) -> None:
    hosted.run(two())
    hosted.on("https://github.com/o/r.git", "gh")
    env = git_that_kills(tmp_path / "bin", "push --porcelain", after=after)
    assert hosted.repo.br3("merge", code=None, env=env).code == -signal.SIGKILL
    assert {r["state"] for r in hosted.requests().values()} == {"opened"}
    assert len(hosted.creating()) == 2
    assert hosted.branches()["refs/heads/build/a"] == hosted.repo.head("build/a")


def test_kill_9_after_a_request_was_opened_and_none_is_opened_twice(hosted: Hosted) -> None:
    hosted.run(two())
    hosted.on("https://github.com/o/r.git", "gh")
    program = hosted.tmp_path / "forge" / "gh"
    whole = program.read_text()
    program.write_text(whole.replace("print(answer)", "if 'create' in words: os.kill(os.getppid(), 9)\nprint(answer)"))
    assert hosted.repo.br3("merge", code=None).code == -signal.SIGKILL
    program.write_text(whole)
    assert [r["state"] for r in hosted.requests().values()] == ["open", "opened"]
    assert len(hosted.creating()) == 2
