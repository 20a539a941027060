"""What breaks inside br3: secrets and protected branches stay guarded, with one clear line; the rest goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Said
from tests.integration.hooking import BUILD, RUN, SECRET, TRAILERS, Ground, lines_of_br3

PROGRAMS = ("sh", "git", "grep", "tr", "date", "od", "sed", "cat", "rm", "cp", "tail", "python3")
"""What hooks start, and git."""


def home(ground: Ground) -> Path:
    return ground.common_dir / "br3/hooks"


def settings(ground: Ground, change: Callable[[str], str]) -> None:
    path = home(ground) / "settings"
    path.write_text(change(path.read_text()))


def with_settings(change: Callable[[str], str]) -> Callable[[Ground], None]:
    return lambda ground: settings(ground, change)


def journal_is(make: Callable[[Path], object]) -> Callable[[Ground], None]:
    def broken(ground: Ground) -> None:
        link = ground.common_dir / "br3/journal/hooks.jsonl"
        link.unlink()
        make(link)

    return broken


def written(name: str, content: bytes) -> Callable[[Ground], None]:
    return lambda ground: (home(ground) / name).write_bytes(content) and None


def missing(name: str) -> Callable[[Ground], None]:
    return lambda ground: (home(ground) / name).unlink()


def path_without(ground: Ground, *names: str) -> None:
    """From now on, PATH has what hooks start, but for these."""
    directory = ground.path.parent / "programs"
    directory.mkdir()
    for name in PROGRAMS:
        if name not in names:
            (directory / name).symlink_to(shutil.which(name) or f"/{name}")
    ground.env["PATH"] = os.fspath(directory)


def without(*names: str) -> Callable[[Ground], None]:
    return lambda ground: path_without(ground, *names)


def no_interpreter(ground: Ground) -> None:
    settings(ground, lambda text: "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("python=")))
    path_without(ground, "python3")


def broken_interpreter(ground: Ground) -> None:
    program = ground.path.parent / "python-of-another-time"
    program.write_text("#!/bin/sh\nexit 127\n")
    program.chmod(0o755)
    settings(ground, lambda text: text.replace("python=", f"python={program}\npython=", 1))


def full(link: Path) -> None:
    link.symlink_to("/dev/full")


UNWRITABLE = {"journal is a directory": journal_is(Path.mkdir), "disk is full": journal_is(full)}

SETTINGS = {
    "settings missing": missing("settings"),
    "settings empty": written("settings", b""),
    "settings truncated": with_settings(lambda text: text[: len(text) // 2]),
    "settings without their end": with_settings(lambda text: text.replace("end=1\n", "")),
    "settings without their beginning": with_settings(lambda text: text.partition("\n")[2]),
    "settings garbage": written("settings", bytes(range(256)) * 4),
}
GUARD = {
    "guard.json missing": missing("guard.json"),
    "guard.json truncated": written("guard.json", b'{"schema": 1, "max_by'),
    "guard.json garbage": written("guard.json", bytes(range(256))),
    "guard.json of another schema": written("guard.json", b'{"schema": 99}'),
    "guard.json with another type": written("guard.json", b'{"schema": 1, "ignore": 7}'),
}
SLOWER = {
    "keywords missing": missing("keywords"),
    "keywords empty": written("keywords", b""),
    "keywords truncated": written("keywords", b"akia\n"),
    "grep missing": without("grep"),
    "tr missing": without("tr"),
    "max_bytes garbage": with_settings(lambda text: text.replace("max_bytes=", "max_bytes=many ")),
}
DAMAGED = {
    "guard.sh missing": missing("guard.sh"),
    "common.sh missing": missing("common.sh"),
    "pre-commit missing": missing("pre-commit"),
}
GONE = {
    "start.py gone": with_settings(lambda text: text.replace("/start.py", "/gone.py")),
    "interpreters gone": no_interpreter,
}


def attempt(ground: Ground, *, secret: bool = False, protected: bool = False, text: str = "text\n") -> Said:
    """A commit; whether it was made is told by its exit code."""
    if protected:
        ground.git("symbolic-ref", "HEAD", "refs/heads/main")
        ground.git("reset", "--quiet")
    tip = ground.tip
    ground.stage(text=f"{SECRET}\n" if secret else text)
    said = ground.call("commit", "--quiet", "--message", "change")
    assert (said.code == 0) == (ground.tip != tip)
    assert said.code == 0 or said.out == ""
    return said


def spot_breaks(*groups: dict[str, Callable[[Ground], None]]) -> pytest.MarkDecorator:
    every = {name: make for group in groups for name, make in group.items()}
    return pytest.mark.parametrize("breaks", every.values(), ids=every.keys())


@spot_breaks(UNWRITABLE, GUARD, SLOWER)
def test_a_secret_is_refused_all_the_same(spot: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(spot)
    said = attempt(spot, secret=True)
    assert said.code == 1
    assert lines_of_br3(said) and SECRET not in said.all and "Traceback" not in said.err


@spot_breaks(GUARD)
def test_what_cannot_be_looked_at_is_refused_with_one_line(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    said = attempt(ground, secret=True)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("br3: the guard could not look: ") and "guard.json" in line and "br3 hooks install" in line


@spot_breaks(UNWRITABLE, GUARD, SLOWER, GONE)
def test_a_protected_branch_is_refused_all_the_same(spot: Ground, breaks: Callable[[Ground], None]) -> None:
    if spot.name:
        pytest.skip("HEAD cannot be main in two worktrees")
    breaks(spot)
    said = attempt(spot, protected=True)
    assert said.code == 1
    assert [line for line in lines_of_br3(said) if "main is protected" in line]


@spot_breaks(SETTINGS, DAMAGED)
@pytest.mark.parametrize("kind", ["clean", "secret", "protected"])
def test_without_its_settings_nothing_passes_and_one_line_says_so(
    ground: Ground, breaks: Callable[[Ground], None], kind: str
) -> None:
    breaks(ground)
    said = attempt(ground, secret=kind == "secret", protected=kind == "protected")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("br3: pre-commit: ") and line.endswith("Mend: br3 hooks install")


@spot_breaks(SETTINGS, DAMAGED)
def test_installing_again_mends(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    ground.br3("hooks", "install")
    assert attempt(ground).code == 0
    assert attempt(ground, secret=True).code == 1


@spot_breaks(SETTINGS)
def test_without_its_settings_no_verify_does_not_pass_either(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    ground.stage()
    said = ground.call("commit", "--no-verify", "--message", "change")
    assert said.code == 1 and len(said.err.splitlines()) == 1


@spot_breaks(UNWRITABLE)
def test_an_event_that_cannot_be_written_stops_nothing(spot: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(spot)
    said = attempt(spot)
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith("br3: post-commit could not be recorded in ")


@spot_breaks(UNWRITABLE)
def test_a_switch_or_merge_that_cannot_be_recorded_is_made(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    there = ground.record()
    ground.plain("reset", "--quiet", "--hard", "HEAD^")
    breaks(ground)
    for words in (["switch", "--create", "other"], ["merge", "--quiet", there], ["commit", "--amend", "-qm", "new"]):
        said = ground.call(*words)
        assert said.code == 0 and lines_of_br3(said) and "Traceback" not in said.err


@spot_breaks(GUARD)
def test_what_has_no_keyword_needs_no_guard(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    said = attempt(ground)
    assert (said.code, said.err) == (0, "")


@spot_breaks(SLOWER)
def test_without_its_prefilter_a_clean_commit_passes(spot: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(spot)
    said = attempt(spot)
    assert (said.code, said.err) == (0, "")


def test_a_hit_at_the_beginning_of_much_says_only_what_was_found(spot: Ground) -> None:
    said = attempt(spot, text=f"{SECRET}\n" + "a line\n" * 200_000)
    assert said.code == 1 and lines_of_br3(said) == said.err.splitlines()


@spot_breaks(GONE)
def test_without_br3_a_commit_passes_with_one_line(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    said = attempt(ground, secret=True)
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith("br3: pre-commit: br3 is not where it was") and line.endswith("Mend: br3 hooks install")


@spot_breaks(GONE)
def test_without_br3_a_clean_commit_says_nothing(ground: Ground, breaks: Callable[[Ground], None]) -> None:
    breaks(ground)
    said = attempt(ground)
    assert (said.code, said.err) == (0, "")


@spot_breaks(GONE)
def test_without_br3_nothing_passes_where_the_plan_requires_it(
    ground: Ground, breaks: Callable[[Ground], None]
) -> None:
    breaks(ground)
    settings(ground, lambda text: text.replace("required=0", "required=1"))
    said = attempt(ground, secret=True)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert "br3 is not where it was" in line and "[hooks] required = true" in line


def test_required_is_compiled_from_the_plan(ground: Ground) -> None:
    plan = ground.path / "br3.toml"
    plan.write_text(plan.read_text().replace("[hooks]\n", "[hooks]\nrequired = true\n"))
    ground.br3("hooks", "install")
    assert "\nrequired=1\n" in (home(ground) / "settings").read_text()


def test_an_interpreter_that_cannot_run_lets_nothing_pass(ground: Ground) -> None:
    broken_interpreter(ground)
    said = attempt(ground, secret=True)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("br3: pre-commit: ") and line.endswith("Mend: br3 hooks install")


def test_a_vanished_interpreter_is_not_missed_while_another_is_there(ground: Ground) -> None:
    settings(ground, lambda text: text.replace("python=", "python=/nowhere/python3\npython=", 1))
    said = attempt(ground, secret=True)
    assert said.code == 1 and len(ground.events("security.violation")) == 1


def test_without_any_listed_interpreter_that_of_the_path_is_taken(ground: Ground) -> None:
    settings(ground, lambda text: "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("python=")))
    said = attempt(ground, secret=True)
    assert said.code == 1 and len(ground.events("security.violation")) == 1


def test_without_its_home_a_commit_passes_with_one_line(spot: Ground) -> None:
    shutil.rmtree(spot.common_dir / "br3")
    said = attempt(spot, secret=True)
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert line.startswith("br3: pre-commit: ") and line.endswith("Mend: br3 hooks install")


def test_without_its_home_what_only_tells_is_silent(spot: Ground) -> None:
    shutil.rmtree(spot.common_dir / "br3")
    said = spot.call("switch", "--quiet", "--create", "other")
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("hook", ["commit-msg", "post-commit", "post-checkout", "post-rewrite"])
def test_a_telling_hook_that_is_damaged_stops_nothing(ground: Ground, hook: str) -> None:
    (home(ground) / hook).unlink()
    ground.record()
    ground.stage(text="other\n")
    ground.git("commit", "--quiet", "--amend", "--message", "change")
    ground.git("switch", "--quiet", "--create", "other")


def test_without_a_clock_nothing_half_is_recorded(ground: Ground) -> None:
    path_without(ground, "date")
    said = attempt(ground)
    assert said.code == 0 and [line for line in lines_of_br3(said) if "could not be recorded" in line]
    assert ground.events() == []


@spot_breaks(SETTINGS)
def test_the_trailers_need_no_settings(ground: Ground, breaks: Callable[[Ground], None], tmp_path: Path) -> None:
    """commit-msg guards nothing: it goes on, and says that it did not look at the form of the message."""
    breaks(ground)
    ground.of_build()
    message = tmp_path / "message"
    message.write_text("change\n")
    said = ground.call("hook", "run", "commit-msg", "--", os.fspath(message), env={"GIT_EDITOR": "any"})
    assert said.code == 0 and len(lines_of_br3(said)) == 1
    assert message.read_text() == f"change\n\n{TRAILERS}\n"
    assert tuple(line.split(": ")[1] for line in TRAILERS.split("\n")) == (RUN, BUILD)
