"""Trailers of a build's commits: once, right, and never what makes a commit of a message that git would not take.

Most tests commit twice from the same state, without br3 and with it: all that may differ are the trailers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.hooking import BUILD, RUN, TASK, TRAILERS, Ground, diverged, editor, git_version, value

WRITES = "lines[0] = 'written'"
LEAVES = "pass"
EMPTIES = "lines = ['']"
FAILS = "sys.exit(1)"
DELETES_TEXT = "lines = [line for line in lines if not line.strip() or line[0] in '#;']"


@dataclass(frozen=True)
class Case:
    """A commit: what is given to ``git commit``, the editor's program (None: there is none), git's configuration.

    ``expected``: whether git makes a commit, and whether it gets trailers.
    """

    words: tuple[str, ...]
    expected: str
    edits: str | None = None
    config: dict[str, str] = field(default_factory=dict)
    message: bytes = b""
    since: tuple[int, int] = (2, 39)


CASES = {
    "message": Case(("-m", "change"), "trailers"),
    "two paragraphs": Case(("-m", "change", "-m", "why"), "trailers"),
    "file": Case(("-F", "{file}"), "trailers", message=b"change\n\nwhy\n"),
    "file without a last newline": Case(("-F", "{file}"), "trailers", message=b"change"),
    "file that begins with empty lines": Case(("-F", "{file}"), "trailers", message=b"\n \nchange\n"),
    "file with CRLF": Case(("-F", "{file}"), "trailers", message=b"change\r\n\r\nwhy\r\n"),
    "file with CRLF and trailers": Case(
        ("-F", "{file}"), "trailers", message=b"change\r\n\r\nReviewed-by: A <a@example.invalid>\r\n"
    ),
    "file with a dash line": Case(("-F", "{file}"), "trailers", message=b"change\n\n---\nbelow\n"),
    "file of no text": Case(("-F", "{file}"), "trailers", message=b"change \xff\xfe\n"),
    "empty file": Case(("-F", "{file}"), "no commit", message=b""),
    "subject like a trailer": Case(("-m", "fix: change"), "trailers"),
    "subject like a comment": Case(("-m", "#12 change"), "trailers"),
    "trailers of its own": Case(("-m", "change", "--trailer", "Reviewed-by: A"), "trailers"),
    "signed off": Case(("-s", "-m", "change"), "trailers"),
    "sign-off alone": Case(("-s", "-m", ""), "no commit"),
    "empty": Case(("-m", ""), "no commit"),
    "empty and allowed": Case(("-m", "", "--allow-empty-message"), "plain"),
    "no edit of another's": Case(("-C", "HEAD"), "trailers"),
    "edit of another's": Case(("-c", "HEAD"), "trailers", LEAVES),
    "fixup": Case(("--fixup", "HEAD"), "trailers"),
    "squash": Case(("--squash", "HEAD", "-m", "more"), "trailers"),
    "edited message": Case(("-e", "-m", "change"), "trailers", WRITES),
    "edited message left": Case(("-e", "-m", "change"), "trailers", LEAVES),
    "edited message emptied": Case(("-e", "-m", "change"), "no commit", EMPTIES),
    "written": Case((), "trailers", WRITES),
    "left": Case((), "no commit", LEAVES),
    "emptied": Case((), "no commit", EMPTIES),
    "editor fails": Case(("-e", "-m", "change"), "no commit", FAILS),
    "text deleted": Case(("-e", "-m", "change"), "no commit", DELETES_TEXT),
    "verbose written": Case(("-v",), "trailers", WRITES),
    "verbose left": Case(("-v",), "no commit", LEAVES),
    "more verbose left": Case(("-v", "-v"), "no commit", LEAVES),
    "verbose emptied": Case(("-v",), "no commit", EMPTIES),
    "verbose with another comment character left": Case(("-v",), "no commit", LEAVES, {"core.commentChar": ";"}),
    "verbose with another comment character": Case(("-v",), "trailers", WRITES, {"core.commentChar": ";"}),
    "another comment character left": Case((), "no commit", LEAVES, {"core.commentChar": ";"}),
    "automatic comment character": Case(("-e", "-m", "#1"), "trailers", LEAVES, {"core.commentChar": "auto"}),
    "comment string left": Case(("-v",), "no commit", LEAVES, {"core.commentString": "//"}, since=(2, 45)),
    "comment string written": Case(("-v",), "trailers", WRITES, {"core.commentString": "//"}, since=(2, 45)),
    "signed off in the editor, left": Case(("-s",), "no commit", LEAVES),
    "signed off in the editor, written": Case(("-s",), "trailers", WRITES),
    "signed off, verbose, left": Case(("-s", "-v"), "no commit", LEAVES),
    "template left": Case((), "no commit", LEAVES, {"commit.template": "{file}"}, b"subject\n\n# why\n"),
    "template with trailers left": Case((), "no commit", LEAVES, {"commit.template": "{file}"}, b"Ticket: 1\n"),
    "template left, signed off": Case(("-s",), "no commit", LEAVES, {"commit.template": "{file}"}, b"subject\n"),
    "template left, verbose": Case(("-v",), "no commit", LEAVES, {"commit.template": "{file}"}, b"subject\n"),
    "template written": Case((), "trailers", WRITES, {"commit.template": "{file}"}, b"subject\n\nwhy\n"),
    "template beside a message": Case(("-m", "change"), "trailers", None, {"commit.template": "{file}"}, b"subject\n"),
    "template emptied": Case((), "no commit", EMPTIES, {"commit.template": "{file}"}, b"subject\n"),
    "without status": Case(("--no-status",), "trailers", WRITES),
    "without status left": Case(("--no-status",), "no commit", LEAVES),
    **{
        f"cleanup {how} {name}": Case((*words, f"--cleanup={how}"), expected, edits)
        for how in ("verbatim", "whitespace", "strip", "scissors", "default")
        for name, words, edits, expected in (
            ("message", ("-m", "change\n\n# kept?"), None, "trailers"),
            ("written", (), WRITES, "trailers"),
            ("left", (), LEAVES, "no commit" if how in ("strip", "scissors", "default") else "as git"),
            ("emptied", (), EMPTIES, "no commit"),
        )
    },
    "cleanup configured": Case((), "trailers", WRITES, {"commit.cleanup": "scissors"}),
    "cleanup configured, left": Case((), "no commit", LEAVES, {"commit.cleanup": "scissors"}),
    "cleanup configured, verbose": Case(("-v",), "trailers", WRITES, {"commit.cleanup": "scissors"}),
}


def outcome(ground: Ground, case: Case, directory: Path, env: dict[str, str]) -> tuple[int, str, str]:
    """The exit code of a commit, its message (empty when there is none), and what git reads of its trailers; the commit
    is taken back."""
    start = ground.tip
    file = directory / "message"
    file.write_bytes(case.message)
    words = [word.replace("{file}", os.fspath(file)) for word in case.words]
    pairs = [f"{key}={text.replace('{file}', os.fspath(file))}" for key, text in case.config.items()]
    config = [word for pair in pairs for word in ("-c", pair)]
    if case.edits is not None:
        env = {**env, "GIT_EDITOR": editor(directory, case.edits)}
    said = ground.call(*config, "commit", *words, env=env)
    assert said.code != 129, said.err
    made = ground.tip != start
    assert made == (said.code == 0), said.err
    text = ground.git("cat-file", "commit", "HEAD").partition("\n\n")[2] if made else ""
    read = ground.git("log", "-1", "--format=%(trailers:key=Br3-Run,valueonly)%(trailers:key=Br3-Build,valueonly)")
    ground.plain("reset", "--quiet", "--soft", start)
    return said.code, text, read


@pytest.mark.parametrize("name", CASES)
def test_a_message_gets_its_trailers_and_is_otherwise_git_s(ground: Ground, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    if case.since > git_version():
        pytest.skip(f"git {case.since}")
    ground.of_build()
    ground.stage()
    without = outcome(ground, case, tmp_path, {"BR3_HOOKS": "own"})
    having = outcome(ground, case, tmp_path, {})
    assert having[0] == without[0]
    if case.expected == "no commit":
        assert without[0] != 0
        return
    if case.expected != "as git":
        assert without[0] == 0
    once = 1 if case.expected == "trailers" else 0
    if case.expected in ("trailers", "plain"):
        assert [having[1].count(line) for line in TRAILERS.split("\n")] == [once, once]
    if once and b"---" not in case.message:  # git log takes what follows such a line for no part of the message
        assert having[2].split() == [RUN, BUILD]
    rest = [line for line in having[1].splitlines() if line.rstrip() not in TRAILERS.split("\n")]
    assert [line for line in rest if line.strip()] == [line for line in without[1].splitlines() if line.strip()]


def test_the_task_comes_from_the_agent_s_environment(spot: Ground) -> None:
    spot.of_build()
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change", env={"BR3_RUN": RUN, "BR3_BUILD": BUILD, "BR3_TASK": TASK})
    assert spot.trailers == f"{TRAILERS}\nBr3-Task: {TASK}"
    (event,) = spot.events("hook.commit")
    assert (event.run, event.build, event.task) == (RUN, BUILD, TASK)


@pytest.mark.parametrize("other", [{"BR3_RUN": "another"}, {"BR3_BUILD": "another"}])
def test_the_task_of_another_build_is_not_ours(spot: Ground, other: dict[str, str]) -> None:
    spot.of_build()
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change", env={"BR3_RUN": RUN, "BR3_BUILD": BUILD, "BR3_TASK": TASK, **other})
    assert spot.trailers == TRAILERS
    assert [e.task for e in spot.events("hook.commit")] == [None]


def test_outside_of_a_build_there_are_no_trailers(spot: Ground) -> None:
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change", env={"BR3_RUN": RUN, "BR3_BUILD": BUILD, "BR3_TASK": TASK})
    assert spot.message == "change"
    assert [(e.run, e.build, e.task) for e in spot.events("hook.commit")] == [(None, None, None)]


@pytest.mark.parametrize(
    "text", ["run=a b\nbuild=docs\n", 'run=x\nbuild="y\n', "run=x\nbuild=$(id)\n", "", "build=docs"]
)
def test_notes_that_are_damaged_attribute_nothing_wrong(spot: Ground, text: str) -> None:
    (spot.git_dir / "br3-build").write_text(text)
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change")
    assert spot.message == "change"
    (event,) = spot.events("hook.commit")
    assert event.build is None


def test_amending_adds_no_second_set(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change")
    spot.git("commit", "--quiet", "--amend", env={"GIT_EDITOR": editor(tmp_path, WRITES)})
    assert spot.message == f"written\n\n{TRAILERS}"
    spot.git("commit", "--quiet", "--amend", "--no-edit", env={"BR3_RUN": RUN, "BR3_BUILD": BUILD, "BR3_TASK": TASK})
    assert spot.message == f"written\n\n{TRAILERS}\nBr3-Task: {TASK}"


def test_an_amendment_whose_editor_is_quit_changes_nothing(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    tip = spot.record()
    assert spot.call("commit", "--amend", env={"GIT_EDITOR": editor(tmp_path, EMPTIES)}).code != 0
    assert spot.tip == tip


def test_a_picked_commit_keeps_the_trailers_of_its_build(spot: Ground) -> None:
    start = spot.tip
    spot.of_build("20260101-000000-aaaa", "first")
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change")
    there = spot.tip
    spot.plain("reset", "--quiet", "--hard", start)
    spot.record("before.txt")
    spot.of_build()
    spot.git("cherry-pick", "-x", there)
    assert spot.trailers.startswith("Br3-Run: 20260101-000000-aaaa\nBr3-Build: first")
    assert spot.message.count("Br3-Build") == 1


def test_a_rebase_adds_no_second_set(spot: Ground) -> None:
    start = spot.tip
    spot.of_build()
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change")
    other = spot.plain("commit-tree", "-p", start, "-m", "other", f"{start}^{{tree}}")
    spot.git("rebase", "--quiet", other)
    assert spot.message == f"change\n\n{TRAILERS}"


@pytest.mark.parametrize("edits", [None, WRITES, LEAVES])
def test_a_merge_gets_its_trailers(spot: Ground, tmp_path: Path, edits: str | None) -> None:
    spot.of_build()
    there = diverged(spot)
    how = ["--edit"] if edits else ["--no-edit"]
    spot.git("merge", "--quiet", *how, there, env={"GIT_EDITOR": editor(tmp_path, edits or LEAVES)})
    assert spot.message.count("Br3-Build") == 1 and spot.trailers == TRAILERS
    assert spot.message.startswith("written\n" if edits == WRITES else "Merge commit '")


def test_a_merge_whose_message_is_emptied_is_not_made(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    there = diverged(spot)
    tip = spot.tip
    assert spot.call("merge", "--edit", there, env={"GIT_EDITOR": editor(tmp_path, EMPTIES)}).code != 0
    assert spot.tip == tip


def test_a_merge_with_a_message_of_its_own(spot: Ground) -> None:
    spot.of_build()
    there = diverged(spot)
    spot.git("merge", "--quiet", "-m", "ours and theirs", "--log", there)
    assert spot.trailers == TRAILERS and spot.message.startswith("ours and theirs\n")


def test_nothing_is_left_beside_the_message(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    spot.stage()
    before = sorted(path.name for path in spot.git_dir.iterdir())
    template = tmp_path / "template"
    template.write_text("subject\n")
    spot.git("-c", f"commit.template={template}", "commit", "--quiet", env={"GIT_EDITOR": editor(tmp_path, WRITES)})
    after = sorted(path.name for path in spot.git_dir.iterdir())
    assert [name for name in after if name not in before] in ([], ["COMMIT_EDITMSG"])


@pytest.mark.parametrize("message", ["change", "Feat: x", "feat:x", "feat(): x", "unknown: x"])
def test_an_unconventional_message_is_refused_when_asked(ground: Ground, message: str) -> None:
    _conventional(ground)
    ground.stage()
    tip = ground.tip
    said = ground.call("commit", "-m", message)
    assert said.code == 1 and ground.tip == tip
    assert "not a conventional message" in said.err and "the message is kept" in said.err
    assert [e.data["rule"] for e in ground.events("hook.blocked")] == ["commit-msg"]
    ground.git("commit", "--quiet", "-m", message, env={"BR3_SKIP": "commit-msg"})
    assert [(e.data["rule"], e.data["use"]) for e in ground.events("hook.allowed")] == [("commit-msg", "skip")]


@pytest.mark.parametrize("message", ["feat: x", "fix(core)!: x", "Merge branch 'x'", "fixup! x", 'Revert "x"'])
def test_a_conventional_message_passes(ground: Ground, message: str) -> None:
    _conventional(ground)
    ground.of_build()
    ground.stage()
    ground.git("commit", "--quiet", "-m", message)
    assert ground.message == f"{message}\n\n{TRAILERS}"


def _conventional(ground: Ground) -> None:
    settings = ground.common_dir / "br3/hooks/settings"
    settings.write_text(settings.read_text().replace("commit_msg=\n", "commit_msg=conventional\n"))


def test_a_worktree_of_a_branch_with_letters_is_told(spot: Ground) -> None:
    spot.plain("branch", "-m", "fa\u00e7ade")
    spot.stage()
    spot.git("commit", "--quiet", "-m", "change")
    assert [value(e, "branch") for e in spot.events("hook.commit")] == ["fa\u00e7ade"]
