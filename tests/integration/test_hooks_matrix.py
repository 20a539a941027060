"""Every hook in every place where git runs it: real git, started as a user starts it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Said
from tests.integration.hooking import (
    BUILD,
    ODD,
    PLAN,
    RUN,
    SECRET,
    TRAILERS,
    Ground,
    Templates,
    began,
    diverged,
    installed,
    kinds,
    lines_of_br3,
    named,
    value,
    writing_message,
)


@dataclass(frozen=True)
class Place:
    """Where a maker has put a worktree: below its root; what git calls it; the environment of git calls there."""

    path: str
    name: str = ""
    env: tuple[tuple[str, str], ...] = ()


def _main(root: Path) -> Place:
    installed(root)
    return Place("project")


def _subdirectory(root: Path) -> Place:
    ground = installed(root)
    ground.record("below/kept.txt")
    return Place("project/below")


def _linked(root: Path, name: str = "side", branch: str = "side") -> Place:
    ground = installed(root)
    side = ground.linked(root / name, "-b", branch)
    return Place(name, side.name)


def _odd(root: Path) -> Place:
    ground = began(root / ODD / "project")
    ground.git("branch", "release/1")
    ground.git("branch", "-m", "b\"r'\u00e4nch")
    ground.br3("hooks", "install")
    return Place(f"{ODD}/project")


def _odd_linked(root: Path) -> Place:
    return _linked(root, ODD, "b\"r'\u00e4nch")


def _bare(root: Path) -> Place:
    began(root / "project").git("branch", "release/1")
    Ground(root).git("clone", "--quiet", "--bare", "project", "bare.git")
    side = Ground(root / "bare.git").linked(root / "side", "-b", "side", start="work")
    side.br3("hooks", "install")
    return Place("side", side.name)


def _bare_inside(root: Path) -> Place:
    began(root / "origin").git("branch", "release/1")
    Ground(root).git("clone", "--quiet", "--bare", "origin", "project/.bare")
    (root / "project/.git").write_text("gitdir: ./.bare\n")
    side = Ground(root / "project").linked(root / "project/side", "-b", "side", start="work")
    side.br3("hooks", "install")
    return Place("project/side", side.name)


def _super(root: Path) -> Ground:
    began(root / "library").git("branch", "release/1")
    whole = began(root / "project")
    whole.git("submodule", "--quiet", "add", "--branch", "work", os.fspath(root / "library"), "lib")
    whole.git("commit", "--quiet", "--message", "submodule")
    return whole


def _in_submodule(at: Path) -> Ground:
    inside = Ground(at)
    inside.git("switch", "--quiet", "--create", "side")
    inside.git("branch", "release/1", "origin/release/1")
    inside.br3("hooks", "install")
    return inside


def _submodule(root: Path) -> Place:
    whole = _super(root)
    _in_submodule(whole.path / "lib")
    return Place("project/lib")


def _submodule_in_linked(root: Path) -> Place:
    side = _super(root).linked(root / "side", "-b", "side")
    side.git("submodule", "--quiet", "update", "--init")
    _in_submodule(side.path / "lib")
    return Place("side/lib")


def _sparse(root: Path) -> Place:
    ground = installed(root)
    ground.record("kept/a.txt")
    ground.git("sparse-checkout", "set", "kept")
    return Place("project")


def _sparse_linked(root: Path) -> Place:
    ground = installed(root)
    ground.record("kept/a.txt")
    side = ground.linked(root / "side", "-b", "side")
    side.git("sparse-checkout", "set", "kept")
    return Place("side", side.name)


def _separate(root: Path) -> Place:
    ground = began(root / "project")
    ground.git("branch", "release/1")
    ground.git("init", "--quiet", "--separate-git-dir", os.fspath(root / "elsewhere.git"))
    ground.br3("hooks", "install")
    return Place("project")


def _given(root: Path) -> Place:
    ground = installed(root)
    ground.path.joinpath(".git").rename(root / "given.git")
    return Place("project", "", (("GIT_DIR", "{root}/given.git"), ("GIT_WORK_TREE", "{root}/project")))


def _relative_hooks_path(root: Path) -> Place:
    ground = began(root / "project")
    ground.git("branch", "release/1")
    ground.write(".git/info/exclude", "/.hooks/\n")
    ground.git("config", "core.hooksPath", ".hooks")
    ground.br3("hooks", "install")
    return Place("project")


def _relative_hooks_path_linked(root: Path) -> Place:
    _relative_hooks_path(root)
    side = Ground(root / "project").linked(root / "side", "-b", "side")
    side.br3("hooks", "install")
    return Place("side", side.name)


def _outside_hooks_path(root: Path) -> Place:
    ground = began(root / "project")
    ground.git("branch", "release/1")
    ground.git("config", "core.hooksPath", os.fspath(root / "hooks"))
    ground.br3("hooks", "install", "--outside")
    return Place("project")


def _worktree_config(root: Path) -> Place:
    ground = installed(root)
    side = ground.linked(root / "side", "-b", "side")
    ground.git("config", "extensions.worktreeConfig", "true")
    side.git("config", "--worktree", "core.hooksPath", os.fspath(root / "project/.git/hooks-of-side"))
    side.br3("hooks", "install")
    return Place("side", side.name)


def _unborn(root: Path) -> Place:
    ground = Ground(root / "project")
    ground.path.mkdir()
    ground.git("init", "--quiet", "--initial-branch", "work")
    ground.write("br3.toml", PLAN)
    ground.br3("hooks", "install")
    return Place("project")


def _unborn_linked(root: Path) -> Place:
    ground = installed(root)
    side = ground.linked(root / "side", "--detach")
    side.plain("switch", "--quiet", "--orphan", "fresh")
    return Place("side", side.name)


BORN: dict[str, Callable[[Path], Place]] = {
    "main worktree": _main,
    "subdirectory": _subdirectory,
    "linked worktree": _linked,
    "odd names": _odd,
    "linked worktree, odd names": _odd_linked,
    "bare with worktrees": _bare,
    "bare inside its directory": _bare_inside,
    "submodule": _submodule,
    "submodule in a linked worktree": _submodule_in_linked,
    "sparse": _sparse,
    "sparse linked worktree": _sparse_linked,
    "separate git directory": _separate,
    "git directory given": _given,
    "relative hooksPath": _relative_hooks_path,
    "relative hooksPath, linked worktree": _relative_hooks_path_linked,
    "hooksPath outside": _outside_hooks_path,
    "hooksPath of one worktree": _worktree_config,
}
UNBORN: dict[str, Callable[[Path], Place]] = {"unborn": _unborn, "unborn linked worktree": _unborn_linked}


def _enter(name: str, templates: Templates, tmp_path: Path) -> Ground:
    place: Place = templates.copy(name, {**BORN, **UNBORN}[name], tmp_path)
    env = {key: text.format(root=tmp_path) for key, text in place.env}
    return Ground(tmp_path / place.path, name=place.name, env=env)


@pytest.fixture(params=BORN)
def place(request: pytest.FixtureRequest, templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """Each place with a commit to stand on."""
    return _enter(request.param, templates, tmp_path)


@pytest.fixture(params=[*BORN, *UNBORN])
def any_place(request: pytest.FixtureRequest, templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """Each place, also those without a commit."""
    return _enter(request.param, templates, tmp_path)


def branch_of(ground: Ground) -> str:
    return ground.git("symbolic-ref", "--short", "HEAD")


def protect(ground: Ground, branch: str = "release/1") -> None:
    """Stand on a protected branch."""
    if ground.tip:
        ground.plain("switch", "--quiet", branch)
    else:
        ground.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")


def refused_branch(ground: Ground, said: Said, hook: str, tip: str, branch: str = "release/1") -> None:
    """A hook has refused to touch the protected branch, and said and recorded that once."""
    assert said.code != 0
    told = lines_of_br3(said)
    assert told[0].startswith(f"br3: {hook}: {branch} is protected") and len(told) == 2, said.err
    assert told[1].startswith("br3: next: ")
    assert ground.tip == tip
    (event,) = ground.events("hook.blocked")
    assert (event.data["hook"], event.data["rule"], event.data["branch"]) == (hook, "protected-branch", branch)
    assert ground.commits() == []


def test_pre_commit_refuses_a_secret(any_place: Ground) -> None:
    tip = any_place.tip
    path = any_place.stage(text=f"a line\n{SECRET}\n")
    staged = any_place.git("ls-files", "--stage")
    said = any_place.call("commit", "--message", "change")
    assert said.code == 1 and any_place.tip == tip
    file = os.path.relpath(path, any_place.top)
    assert f"{file}:2 " in said.err
    (event,) = any_place.events("security.violation")
    assert (event.data["hook"], event.data["file"], event.data["line"]) == ("pre-commit", file, 2)
    assert any_place.git("ls-files", "--stage") == staged and SECRET in path.read_text()


def test_pre_commit_refuses_a_protected_branch(any_place: Ground) -> None:
    protect(any_place)
    tip = any_place.tip
    any_place.stage()
    refused_branch(any_place, any_place.call("commit", "--message", "change"), "pre-commit", tip)


def test_prepare_commit_msg_refuses_what_was_not_verified(any_place: Ground) -> None:
    protect(any_place)
    tip = any_place.tip
    any_place.stage()
    said = any_place.call("commit", "--no-verify", "--message", "change")
    refused_branch(any_place, said, "prepare-commit-msg", tip)


def test_a_commit_gets_its_trailers_and_is_recorded_once(any_place: Ground) -> None:
    any_place.of_build()
    any_place.stage()
    any_place.git("commit", "--quiet", "--message", "change")
    assert any_place.message == f"change\n\n{TRAILERS}"
    (event,) = any_place.events("hook.commit")
    assert named(event) == (any_place.tip, branch_of(any_place), any_place.name)
    assert (event.run, event.build) == (RUN, BUILD)
    assert kinds(any_place.events()) == ["hook.commit"]


def test_commit_msg_adds_the_trailers_to_what_was_written(any_place: Ground, tmp_path: Path) -> None:
    any_place.of_build()
    any_place.stage()
    any_place.git("commit", "--quiet", env=writing_message(tmp_path, "written"))
    assert any_place.message == f"written\n\n{TRAILERS}"


def test_post_checkout_records_a_switch_once(any_place: Ground) -> None:
    before = any_place.tip
    any_place.git("switch", "--quiet", "--create", "other", *([] if before else ["--orphan"]), check=bool(before))
    found = any_place.events("hook.checkout")
    if not before:
        assert found == []  # there is no commit to go from or to
        return
    (event,) = found
    assert (event.data["from"], event.data["to"], value(event, "branch")) == (before, before, "other")
    assert value(event, "worktree") == any_place.name


def test_post_merge_records_a_fast_forward_once(place: Ground) -> None:
    start, branch = place.tip, branch_of(place)
    there = place.record()
    place.plain("reset", "--quiet", "--hard", start)
    place.git("merge", "--quiet", "--ff-only", there)
    (event,) = place.events("hook.merged")
    assert named(event) == (there, branch, place.name) and event.data["how"] == "fast-forward"


def test_post_merge_records_a_merge_once(place: Ground) -> None:
    place.of_build()
    other = diverged(place)
    place.git("merge", "--quiet", "--no-edit", other)
    (event,) = place.events("hook.merged")
    assert named(event) == (place.tip, branch_of(place), place.name) and event.data["how"] == "merge"
    assert place.commits() == []
    assert place.message.endswith(f"\n\n{TRAILERS}")


def test_pre_merge_commit_refuses_a_protected_branch(place: Ground) -> None:
    other = diverged(place)
    place.plain("branch", "--force", "release/1")
    protect(place)
    refused_branch(place, place.call("merge", "--no-edit", other), "pre-merge-commit", place.tip)


def test_pre_rebase_refuses_a_protected_branch(place: Ground) -> None:
    other = diverged(place)
    place.plain("branch", "--force", "release/1")
    protect(place)
    tip = place.tip
    refused_branch(place, place.call("rebase", "--quiet", other), "pre-rebase", tip)
    assert branch_of(place) == "release/1"


def test_post_rewrite_pairs_old_and_new(place: Ground) -> None:
    old = place.record()
    place.git("commit", "--quiet", "--amend", "--message", "better")
    (event,) = place.events("hook.rewrote")
    assert event.data["pairs"] == [[old, place.tip]] and event.data["command"] == "amend"
    assert place.commits() == [(place.tip, branch_of(place), place.name)]


def test_pre_push_records_what_is_pushed(place: Ground, tmp_path: Path) -> None:
    remote(place, tmp_path)
    place.record()
    place.git("push", "--quiet", "there", "HEAD:refs/heads/pushed")
    (event,) = place.events("hook.pushed")
    assert event.data["commits"] == [place.tip] and event.data["refs"] == ["refs/heads/pushed"]
    assert place.git("ls-remote", "there", "refs/heads/pushed").split()[0] == place.tip


def test_pre_push_refuses_a_secret(place: Ground, tmp_path: Path) -> None:
    remote(place, tmp_path)
    place.record(text=f"{SECRET}\n")
    said = place.call("push", "there", "HEAD:refs/heads/pushed")
    assert said.code != 0 and f"{place.tip[:10]} " in said.err
    assert place.git("ls-remote", "there") == ""


def test_switched_off_everything_passes_and_that_is_recorded(any_place: Ground) -> None:
    protect(any_place)
    any_place.stage(text=f"{SECRET}\n")
    any_place.git("commit", "--quiet", "--message", "change", env={"BR3_HOOKS": "0"})
    assert set(kinds(any_place.events())) == {"hook.off"}


def remote(ground: Ground, root: Path) -> Path:
    """A bare repository that is the remote ``there``."""
    path = root / "there.git"
    Ground(root).git("init", "--quiet", "--bare", os.fspath(path))
    ground.git("remote", "add", "there", os.fspath(path))
    return path
