"""br3 plan import, new and split as they are called; Claude is a server on this machine."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from br3.cli import cli
from br3.cli.plan_files import record
from br3.errors import Interrupted
from br3.models.asking import Asking, NotAnswered, Question, ask
from tests.conftest import Scratch, until
from tests.external.agents import serving

BRIEFS = Path(__file__).parents[1] / "briefs"
BRIEF = """\
# Small

## Build A: Search

**Branch:** feature/search
**Owns:** `src/search/`

Tasks:
1. Index (1h)

Verify: `true` (3 tests)

## Build B: Export

**Branch:** feature/export
**Owns:** `src/export/`

Tasks:
1. Writer (30 min)

Verify: `true`

## Timeline

Search goes first, two people look at Export.
"""


@dataclass
class Api:
    """The server: scenarios are put there, and what was asked is read from its log."""

    url: str
    log: Path

    def env(self, *steps: dict[str, Any]) -> dict[str, str]:
        """The environment in which these steps are answered, one per request; the last one repeats."""
        name = f"s{os.urandom(4).hex()}"
        data = json.dumps(list(steps)).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/__scenario/{name}", data=data)).read()
        return {"ANTHROPIC_BASE_URL": f"{self.url}/r/{name}/{name}", "ANTHROPIC_API_KEY": "sk-ant-test"}

    def asked(self, env: dict[str, str]) -> list[dict[str, Any]]:
        name = env["ANTHROPIC_BASE_URL"].rpartition("/")[2]
        lines = [json.loads(one) for one in self.log.read_text().splitlines()]
        return [one for one in lines if one.get("sc") == name and one.get("path", "").endswith("/v1/messages")]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api"), bodies=True, everything=True) as served:
        yield Api(served.address, served.log)


def data(repo: Scratch, name: str = "br3.toml") -> dict[str, Any]:
    return tomllib.loads((repo.path / name).read_text())


# -- import ----------------------------------------------------------------------------------------------------------


def test_a_brief_becomes_a_plan_that_is_fine(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF)
    said = repo.br3("plan", "import", "BRIEF.md")
    assert said.out == ""
    assert "BRIEF.md: 2 builds, 2 tasks" in said.err
    assert "    25  Search goes first, two people look at Export." in said.err
    assert "written: br3.toml\nnext: read br3.toml, then br3 plan show" in said.err
    assert "is fine: 2 builds, 2 tasks" in repo.br3("plan", "check").out
    assert [b["branch"] for b in data(repo)["build"]] == ["feature/search", "feature/export"]
    assert "#    25  Search goes first" in (repo.path / "br3.toml").read_text()


def test_a_plan_that_is_there_is_not_written_over(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF)
    repo.write("br3.toml", "mine")
    said = repo.br3("plan", "import", "BRIEF.md", code=3)
    assert "br3.toml is there already" in said.err and "--force" in said.err
    assert (repo.path / "br3.toml").read_text() == "mine"
    repo.br3("plan", "import", "BRIEF.md", "--force")
    assert len(data(repo)["build"]) == 2
    assert sorted(p.name for p in repo.path.iterdir()) == [".git", "BRIEF.md", "README.md", "br3.toml"]


def test_a_dangling_link_is_not_written_through(repo: Scratch, tmp_path: Path) -> None:
    repo.write("BRIEF.md", BRIEF)
    (repo.path / "br3.toml").symlink_to(tmp_path / "elsewhere.toml")
    repo.br3("plan", "import", "BRIEF.md", code=3)
    assert not (tmp_path / "elsewhere.toml").exists()


def test_from_a_directory_below_it_is_written_at_the_root(repo: Scratch) -> None:
    repo.write("docs/BRIEF.md", BRIEF)
    repo.br3("plan", "import", "BRIEF.md", cwd=repo.path / "docs")
    assert (repo.path / "br3.toml").exists()


def test_it_can_be_printed(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF)
    said = repo.br3("plan", "import", "BRIEF.md", "-o", "-")
    assert len(tomllib.loads(said.out)["build"]) == 2
    assert not (repo.path / "br3.toml").exists()


def test_a_problem_of_what_is_printed_is_told_by_the_name_that_it_will_have(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF.replace("src/export/", "src/search/export/"))
    said = repo.br3("plan", "import", "BRIEF.md", "-o", "-", code=2)
    (problem,) = [line for line in said.err.splitlines() if "overlaps" in line]
    assert re.match(r"br3\.toml:\d+: ", problem)


def test_json_has_the_plan_the_notes_and_what_was_not_placed(repo: Scratch) -> None:
    said = repo.br3("plan", "import", str(BRIEFS / "week1.md"), "--json").json
    assert said["ok"] and said["errors"] == []
    assert [b["id"] for b in said["plan"]["build"]] == ["integration", "persistence", "ai-layer", "docs-tests"]
    assert {"line", "text", "under", "missing"} == set(said["unplaced"][0])
    assert said["toml"] == (repo.path / "br3.toml").read_text()


def test_problems_of_the_outcome_are_shown_and_the_file_is_there(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF.replace("src/export/", "src/search/export/"))
    said = repo.br3("plan", "import", "BRIEF.md", code=2)
    assert "overlaps" in said.err and "1 problem: correct this, then br3 plan check" in said.err
    assert (repo.path / "br3.toml").exists()


@pytest.mark.parametrize(
    ("raw", "what"),
    [(None, "there is no BRIEF.md"), (b"", "BRIEF.md is empty"), (b"# X\n\n\xff\n", "BRIEF.md, line 3: not UTF-8")],
)
def test_a_brief_that_cannot_be_read_is_told(repo: Scratch, raw: bytes | None, what: str) -> None:
    if raw is not None:
        (repo.path / "BRIEF.md").write_bytes(raw)
    assert what in repo.br3("plan", "import", "BRIEF.md", code=2).err
    assert not (repo.path / "br3.toml").exists()


def test_nothing_of_a_brief_steers_the_terminal(repo: Scratch) -> None:
    repo.write("BRIEF.md", BRIEF + "\nlook \x1b[2J here\n")
    said = repo.br3("plan", "import", "BRIEF.md")
    assert "\x1b" not in said.all
    assert "\x1b" not in (repo.path / "br3.toml").read_text()


# -- import --ai -----------------------------------------------------------------------------------------------------


def addition(**fields: Any) -> dict[str, Any]:
    return {"lines": [25], "table": "build", "id": "export", "task": "", "key": "after", "value": ["search"], **fields}


def answer(*additions: dict[str, Any]) -> dict[str, Any]:
    usage = {"input_tokens": 900, "output_tokens": 60}
    return {"text": json.dumps({"additions": list(additions)}), "usage": usage}


def test_claude_places_what_is_left(repo: Scratch, api: Api) -> None:
    repo.write("BRIEF.md", BRIEF)
    env = api.env(answer(addition()))
    said = repo.br3("plan", "import", "BRIEF.md", "--ai", "--yes", env=env)
    assert '+after = ["search"]' in said.err
    assert data(repo)["build"][1]["after"] == ["search"]
    text = (repo.path / "br3.toml").read_text()
    assert "line 25: placed by Claude: [[build]] export after" in text and "#    25  " not in text
    (request,) = api.asked(env)
    assert "   25  Search goes first" in request["body"]["messages"][0]["content"]
    (usage,) = repo.events("usage.recorded")
    assert (usage.data["input_tokens"], usage.data["output_tokens"]) == (900, 60)
    assert usage.data["cost_usd"] is not None


@pytest.mark.parametrize("key", ["message", "tag"])
def test_what_claude_says_of_the_release_is_written(repo: Scratch, api: Api, key: str) -> None:
    repo.write("BRIEF.md", BRIEF)
    env = api.env(answer(addition(table="release", id="", key=key, value="v7")))
    said = repo.br3("plan", "import", "BRIEF.md", "--ai", "--yes", env=env, code=None)
    assert data(repo)["release"] == {key: "v7"} and "Traceback" not in said.err
    assert ("tag v7" in said.err) is (key == "tag")


def test_the_plan_is_there_whatever_becomes_of_telling_it(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise BrokenPipeError

    repo.write("BRIEF.md", BRIEF)
    monkeypatch.setattr("br3.cli.plan_import._tell", broken)
    with pytest.raises(BrokenPipeError):
        invoke(repo, monkeypatch, "import", "BRIEF.md")
    assert len(data(repo)["build"]) == 2


def test_what_claude_may_not_change_stays(repo: Scratch, api: Api) -> None:
    repo.write("BRIEF.md", BRIEF)
    env = api.env(
        answer(
            addition(key="branch", value="other"),
            addition(key="owns", value=["docs/**", "src/export/**"]),
            addition(table="plan", id="", key="colour", value="red"),
            addition(lines=[3], key="message", value="x"),
            addition(table="build.verify", key="min_passed", value=7),
        )
    )
    said = repo.br3("plan", "import", "BRIEF.md", "--ai", "--yes", env=env)
    export = data(repo)["build"][1]
    assert export["branch"] == "feature/export" and export["owns"] == ["src/export/**", "docs/**"]
    assert "message" not in export and "colour" not in data(repo)["plan"]
    assert export["verify"]["min_passed"] == 7
    assert "left out [[build]] export branch: it has a value already" in said.err
    assert "left out [plan] colour: unknown key" in said.err
    assert "left out [[build]] export message: it comes from no line that was left" in said.err


@pytest.mark.parametrize(
    "step",
    [
        {"status": 401, "message": "invalid x-api-key"},
        {"text": "{}"},
        answer(),
        {"text": "{", "stop_reason": "refusal"},
    ],
)
def test_without_an_answer_the_plan_is_as_it_was_read(repo: Scratch, api: Api, step: dict[str, Any]) -> None:
    repo.write("BRIEF.md", BRIEF)
    said = repo.br3("plan", "import", "BRIEF.md", "--ai", "--yes", env=api.env(step))
    assert "Claude has placed nothing" in said.err
    assert len(data(repo)["build"]) == 2 and "#    25  " in (repo.path / "br3.toml").read_text()


QUESTION = Question("system", "prompt", {"type": "object"}, json.loads, "answer", 100)


def test_what_a_request_that_goes_on_after_the_deadline_costs_is_not_known(
    repo: Scratch, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env = api.env({"await": str(tmp_path / "late"), **answer()})
    asking = Asking("sonnet", "sk-ant-test", env["ANTHROPIC_BASE_URL"])
    with monkeypatch.context() as patch:  # the deadline comes when the request is under way
        patch.setattr("threading.Thread.join", lambda *_: until(lambda: api.asked(env)))
        told = ask(QUESTION, asking)
    (tmp_path / "late").touch()
    assert isinstance(told, NotAnswered) and told.why == "took too long"
    monkeypatch.chdir(repo.path)
    record(told.spent)
    (usage,) = repo.events("usage.recorded")
    assert (usage.data["input_tokens"], usage.data["cost_usd"], usage.data["source"]) == (None, None, "plan")


def test_what_a_request_cost_whose_answer_was_lost_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("br3.models.asking.TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def lose() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            connection.close()

        threading.Thread(target=lose, daemon=True).start()
        told = ask(QUESTION, Asking("sonnet", "sk-ant-test", f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert isinstance(told, NotAnswered) and told.why == "no connection"
    assert told.spent.unknown


def test_what_was_refused_or_not_sent_cost_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("br3.models.asking.TRIES", 1)
    url = api.env({"status": 401, "message": "no"})["ANTHROPIC_BASE_URL"]
    refused = ask(QUESTION, Asking("sonnet", "sk-ant-test", url))
    nobody_there = ask(QUESTION, Asking("sonnet", "sk-ant-test", "http://127.0.0.1:1"))
    assert isinstance(refused, NotAnswered) and isinstance(nobody_there, NotAnswered)
    assert (refused.why, nobody_there.why) == ("key refused", "no connection")
    assert not refused.spent.unknown and not nobody_there.spent.unknown


def test_nobody_to_be_asked_is_told_before_anything_is_paid_for(repo: Scratch, api: Api) -> None:
    repo.write("BRIEF.md", BRIEF)
    env = api.env(answer(addition()))
    said = repo.br3("plan", "import", "BRIEF.md", "--ai", code=2, env=env)
    assert "nobody is here to be asked" in said.err and "--yes" in said.err
    assert api.asked(env) == [] and not (repo.path / "br3.toml").exists()


@pytest.mark.parametrize(("said", "placed"), [(True, True), (False, False)])
def test_a_person_is_asked_with_the_difference(
    repo: Scratch, api: Api, monkeypatch: pytest.MonkeyPatch, said: bool, placed: bool
) -> None:
    repo.write("BRIEF.md", BRIEF)
    for name, value in api.env(answer(addition())).items():
        monkeypatch.setenv(name, value)
    questions: list[str] = []
    monkeypatch.setattr("br3.cli.context.ask_yes_no", lambda: lambda question: bool(questions.append(question)) or said)
    result = invoke(repo, monkeypatch, "import", "BRIEF.md", "--ai")
    assert questions == ["Take what Claude has placed?"]
    assert '+after = ["search"]' in result.stderr
    assert ("after" in data(repo)["build"][1]) is placed


# -- new -------------------------------------------------------------------------------------------------------------


def invoke(repo: Scratch, monkeypatch: pytest.MonkeyPatch, *words: str, input: str | None = None) -> Result:
    monkeypatch.chdir(repo.path)
    result = CliRunner().invoke(cli, ["plan", *words], input=input, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


ANSWERS = [
    "week 2",  # name
    "mian",  # base: asked for again
    "",
    "true",  # how all of it is tested
    "",
    "Search API",  # title
    "",  # id
    "Find entries.",  # what is to be done
    "Keep it fast.",
    "",
    "src/search, /etc/passwd",  # owns, of which one is not here
    "./src/search, docs/ and tests/test_search.py Makefile",
    "",  # verified: as all of it
    "y",  # another build
    "Export",
    "search-api",  # an id that is taken
    "out",
    "",
    "",
    "make check",
    "",
    "12",
    "n",  # no other build
    "y",  # tag
    "v0.2.0",
]


def test_an_interview_makes_a_plan(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(repo, monkeypatch, "new", input="\n".join(ANSWERS) + "\n")
    assert "there is no local branch 'mian'; branches here: main" in result.stderr
    assert "there is a build search-api already" in result.stderr
    assert "/etc/passwd is not below this repository" in result.stderr
    made = data(repo)
    assert (made["plan"], made["release"]["tag"]) == ({"name": "week 2", "base": "main"}, "v0.2.0")
    assert made["build"] == [
        {
            "id": "search-api",
            "title": "Search API",
            "owns": ["src/search/**", "docs/**", "tests/test_search.py", "Makefile"],
            "prompt": "Find entries.\nKeep it fast.\n",
        },
        {
            "id": "out",
            "title": "Export",
            "prompt": "Export\n",
            "verify": {"run": ["make check"], "min_passed": 12},
        },
    ]
    assert "is fine: 2 builds" in repo.br3("plan", "check").out


@pytest.mark.parametrize("answers", [0, 3, 8, len(ANSWERS) - 1])
def test_an_interview_that_is_broken_off_leaves_nothing(
    repo: Scratch, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    with pytest.raises(Interrupted, match="nothing was written"):
        invoke(repo, monkeypatch, "new", input="".join(f"{line}\n" for line in ANSWERS[:answers]))
    assert sorted(p.name for p in repo.path.iterdir()) == [".git", "README.md"]


def test_one_build_for_each_issue(repo: Scratch) -> None:
    repo.write(
        "issues.md",
        "# Open\n\n- [ ] Fix the login (2h)\n  with a test\n- [x] Old\n\n#12 Add search\n\n"
        "7\tOPEN\tExport as CSV\tbug\t2026-10-01\n8\tCLOSED\tDark mode\t\t2026-10-01\n",
    )
    said = repo.br3("plan", "new", "--from-issue-list", "issues.md")
    made = data(repo)
    assert [(b["id"], b["title"]) for b in made["build"]] == [
        ("fix-the-login", "Fix the login"),
        ("12-add-search", "#12 Add search"),
        ("7-export-as-csv", "#7 Export as CSV"),
    ]
    assert made["build"][0]["task"] == [{"id": "1", "title": "Fix the login", "minutes": 120}]
    assert "with a test" in made["build"][0]["prompt"]
    for line in ("     1  # Open  (no entry)", "     5  - [x] Old  (done already)", "    10  8 CLOSED Dark mode"):
        assert line in said.err


def test_a_numbered_line_right_below_an_item_is_an_issue_of_its_own(repo: Scratch) -> None:
    repo.write("issues.md", "1. Foo\n   see #3 as well\n#44 Bar\nwith more\nGH-45 Baz\n- [ ] Last\n")
    repo.br3("plan", "new", "--from-issue-list", "issues.md")
    made = data(repo)["build"]
    assert [b["id"] for b in made] == ["foo-see-3-as-well", "44-bar", "45-baz", "last"]
    assert "with more" in made[1]["prompt"]


TOKEN = "ghp" + "_" + "a1B2" * 9
KEY = [f"-----{'BEGIN'} RSA PRIVATE KEY-----", "M" * 64, "N" * 64, f"-----{'END'} RSA PRIVATE KEY-----"]
MASKED = "what looks like a secret was masked; it belongs into .env"


def no_secret_in(*texts: str) -> bool:
    return not any(secret in text for secret in (TOKEN, *KEY[1:3]) for text in texts)


def test_secrets_in_a_list_are_masked_and_told(repo: Scratch) -> None:
    key = "\n".join(f"  {line}" for line in KEY)
    repo.write("issues.md", f"Use {TOKEN}\n\n- [ ] Fix {TOKEN}\n- [ ] Sign\n{key}\n- [x] Old {TOKEN}\n- [ ] Last\n")
    said = repo.br3("plan", "new", "--from-issue-list", "issues.md")
    assert no_secret_in(said.all, (repo.path / "br3.toml").read_text())
    assert [line for line in said.err.splitlines() if MASKED in line] == [f"  line {n}: {MASKED}" for n in (1, 3, 5, 9)]
    assert [b["title"].split()[0] for b in data(repo)["build"]] == ["Fix", "Sign", "Last"]


def test_secrets_in_answers_are_masked_and_told(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        f"week {TOKEN}",
        "",
        "true",
        "",
        f"Search {TOKEN}",
        "",
        "Use this:",
        *KEY,
        "",
        "",
        f"echo {TOKEN}",
        "",
        "",
        "n",
    ]
    result = invoke(repo, monkeypatch, "new", input="\n".join([*told, "n"]) + "\n")
    made = (repo.path / "br3.toml").read_text()
    assert no_secret_in(made) and "Use this:" in made
    assert result.stderr.count(MASKED) == 4


def test_a_list_without_entries_is_told(repo: Scratch) -> None:
    repo.write("issues.md", "Nothing here.\n")
    assert (
        "no open entry was found in issues.md" in repo.br3("plan", "new", "--from-issue-list", "issues.md", code=2).err
    )


# -- split -----------------------------------------------------------------------------------------------------------


def build(name: str, *owns: str, **fields: Any) -> dict[str, Any]:
    tasks = [{"title": f"Do {name}", "minutes": 30}]
    made = {"id": name, "title": name.capitalize(), "prompt": f"Write {name}.", "owns": list(owns), "needs": []}
    return {**made, "tasks": tasks, "verify": ["true"], **fields}


def builds(*made: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": json.dumps({"name": "split", "builds": list(made)}),
        "usage": {"input_tokens": 500, "output_tokens": 80},
    }


def test_a_goal_is_split_into_builds_with_estimates(repo: Scratch, api: Api) -> None:
    env = api.env(builds(build("api", "src/api/**"), build("docs", "docs/**", needs=["api"])))
    said = repo.br3("plan", "split", "Add search", "--ai", env=env)
    made = data(repo)
    assert [(b["id"], b.get("needs", [])) for b in made["build"]] == [("api", []), ("docs", ["api"])]
    assert (repo.path / "br3.toml").read_text().count("# estimated: ") == 2
    assert "minutes P50–P90" in said.err and "read br3.toml, every line" in said.err
    (request,) = api.asked(env)
    assert "README.md" in request["body"]["messages"][0]["content"]
    assert len(repo.events("usage.recorded")) == 1
    assert "is fine" in repo.br3("plan", "check").out


def test_a_secret_in_a_goal_is_masked(repo: Scratch, api: Api) -> None:
    env = api.env(builds(build("api", "src/api/**")))
    said = repo.br3("plan", "split", f"Add search with {TOKEN}", "--ai", env=env)
    assert no_secret_in(said.all, (repo.path / "br3.toml").read_text(), json.dumps(api.asked(env)))


def test_builds_that_meet_are_asked_for_once_more(repo: Scratch, api: Api) -> None:
    meeting = builds(build("one", "src/**"), build("two", "src/two.py"))
    env = api.env(meeting, builds(build("one", "src/one/**"), build("two", "src/two.py")))
    repo.br3("plan", "split", "Add search", "--ai", env=env)
    assert [b["owns"] for b in data(repo)["build"]] == [["src/one/**"], ["src/two.py"]]
    assert "one owns src/**, two owns src/two.py" in api.asked(env)[1]["body"]["messages"][0]["content"]
    (usage,) = repo.events("usage.recorded")
    assert usage.data["input_tokens"] == 1000


def test_builds_that_still_meet_come_one_after_the_other(repo: Scratch, api: Api) -> None:
    said = repo.br3(
        "plan", "split", "Add search", "--ai", env=api.env(builds(build("one", "src/**"), build("two", "src/two.py")))
    )
    assert data(repo)["build"][1]["needs"] == ["one"]
    assert "two starts after one: both own what src/** and src/two.py name" in said.err


def test_without_ai_nothing_is_asked(repo: Scratch, api: Api) -> None:
    env = api.env(builds(build("one", "src/**")))
    assert "--ai" in repo.br3("plan", "split", "Add search", code=2, env=env).err
    assert api.asked(env) == []


def test_an_answer_that_is_no_use_is_told(repo: Scratch, api: Api) -> None:
    said = repo.br3("plan", "split", "Add search", "--ai", code=1, env=api.env({"text": '{"name": "x", "builds": []}'}))
    assert "Claude has proposed nothing: Claude's answer had no builds in it" in said.err
    assert not (repo.path / "br3.toml").exists()


def test_without_a_key_it_is_said(repo: Scratch) -> None:
    assert "there is no ANTHROPIC_API_KEY" in repo.br3("plan", "split", "Add search", "--ai", code=1).err
