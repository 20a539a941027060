"""Every git command that commits, in a main and a linked worktree: what is refused, what is recorded, and how often."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from br3.guard.contents import prefilter
from br3.secrets.examples import fill
from tests.integration.hooking import (
    ODD,
    SECRET,
    TRAILERS,
    Ground,
    diverged,
    git_version,
    kinds,
    lines_of_br3,
    named,
    todo,
    value,
    writing_message,
)


def branch_of(ground: Ground) -> str:
    return ground.git("symbolic-ref", "--short", "HEAD")


def new_commits(ground: Ground, since: str) -> list[str]:
    """Ids from the oldest to the newest, merges too."""
    return ground.git("rev-list", "--reverse", "--topo-order", f"{since}..HEAD").split()


def recorded(ground: Ground) -> list[str]:
    """The commits that were recorded; all of this branch and worktree."""
    found = ground.commits()
    branch = branch_of(ground)
    assert {(b, w) for _, b, w in found} <= {(branch, ground.name)}
    return [commit for commit, _, _ in found]


def pairs(ground: Ground) -> list[tuple[str, str]]:
    return [(old, new) for event in ground.events("hook.rewrote") for old, new in event.data["pairs"]]


def became(ground: Ground) -> dict[str, str]:
    """What each commit that is no more has become at last, by the pairs that were recorded."""
    step = dict(pairs(ground))

    def last(commit: str) -> str:
        return last(step[commit]) if commit in step else commit

    return {old: last(old) for old in step}


def three(ground: Ground) -> tuple[str, list[str]]:
    """Three commits here; what they begin from, and their ids."""
    start = ground.tip
    return start, [ground.record(f"{name}.txt", f"{name}\n", name) for name in ("a", "b", "c")]


# --- commit ---------------------------------------------------------------------------------------------------------


WAKES = """\
br3_hook=test br3_home=.git/br3/hooks
. "$br3_home/common.sh"
. "$br3_home/guard.sh"
br3_read_settings
while IFS= read -r word; do
    printf 'a %s b\\n' "$word" >new.txt
    git add new.txt
    if br3_may_pass; then printf '%s\\n' "$word"; fi
done
"""


def test_every_keyword_by_itself_wakes_the_guard(ground: Ground) -> None:
    words = [word for word in prefilter() for word in (word, word.upper())]
    given = "".join(f"{word}\n" for word in ["nothing", *words])
    done = subprocess.run(["sh", "-c", WAKES], cwd=ground.path, input=given, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("nothing\n", "")


def test_a_secret_whose_one_keyword_is_short_is_refused(ground: Ground) -> None:
    ground.stage("new.txt", fill("<<a3>>8Q~<<a34>>\n", Random(5)))
    before = ground.tip
    assert "azure-client-secret" in ground.call("commit", "--message", "x").err
    assert ground.tip == before


def test_commit_a_with_a_secret_is_refused(spot: Ground) -> None:
    spot.write("file.txt", f"{SECRET}\n")
    assert spot.call("commit", "--all", "--message", "change").code == 1
    assert kinds(spot.events()) == ["security.violation"]
    assert spot.git("diff", "--cached", "--name-only") == ""


def test_commit_a_is_recorded_once(spot: Ground) -> None:
    spot.write("file.txt", "changed\n")
    spot.git("commit", "--quiet", "--all", "--message", "change")
    assert recorded(spot) == [spot.tip]


@pytest.mark.parametrize("option", ["--only", "--include"])
def test_a_partial_commit_with_a_secret_is_refused(spot: Ground, option: str) -> None:
    spot.stage("staged.txt")
    spot.write("file.txt", f"{SECRET}\n")
    assert spot.call("commit", option, "--message", "change", "--", "file.txt").code == 1
    assert kinds(spot.events()) == ["security.violation"]


def test_a_partial_commit_leaves_the_secret_out_that_is_not_part_of_it(spot: Ground) -> None:
    spot.stage("staged.txt", f"{SECRET}\n")
    spot.write("file.txt", "changed\n")
    spot.git("commit", "--quiet", "--message", "change", "--", "file.txt")
    assert recorded(spot) == [spot.tip]
    assert spot.git("diff", "--cached", "--name-only") == "staged.txt"


def test_a_secret_that_is_not_staged_is_nobodys_business(spot: Ground) -> None:
    spot.stage()
    path = spot.write("file.txt", f"{SECRET}\n")
    spot.git("commit", "--quiet", "--message", "change")
    assert kinds(spot.events()) == ["hook.commit"] and SECRET in path.read_text()


@pytest.mark.parametrize("answer", ["y", "n"])
def test_commit_p_is_looked_at_hunk_by_hunk(spot: Ground, answer: str) -> None:
    spot.write("file.txt", f"{SECRET}\none\ntwo\nthree\nfour\n")
    tip = spot.tip
    spot.call("commit", "--patch", "--quiet", "--message", "change", given=f"{answer}\n")
    assert spot.tip == tip
    assert kinds(spot.events()) == (["security.violation"] if answer == "y" else [])


def test_an_index_of_ones_own_is_the_one_that_is_looked_at(spot: Ground, tmp_path: Path) -> None:
    env = {"GIT_INDEX_FILE": os.fspath(tmp_path / "own-index")}
    spot.git("read-tree", "HEAD", env=env)
    spot.write("own.txt", f"{SECRET}\n")
    spot.git("add", "own.txt", env=env)
    assert spot.call("commit", "--message", "change", env=env).code == 1
    assert [e.data["file"] for e in spot.events("security.violation")] == ["own.txt"]


def test_no_verify_passes_the_scan_and_is_recorded(spot: Ground) -> None:
    spot.of_build()
    spot.stage(text=f"{SECRET}\n")
    spot.git("commit", "--quiet", "--no-verify", "--message", "change")
    assert recorded(spot) == [spot.tip]
    assert spot.message == f"change\n\n{TRAILERS}"


def test_an_amended_commit_is_recorded_and_paired(spot: Ground) -> None:
    spot.of_build()
    spot.stage()
    spot.git("commit", "--quiet", "--message", "change")
    first = spot.tip
    spot.git("commit", "--quiet", "--amend", "--no-edit")
    second = spot.tip
    spot.stage(text="other\n")
    spot.git("commit", "--quiet", "--amend", "--no-edit", "--all")
    assert recorded(spot) == [first, second, spot.tip]
    assert pairs(spot) == [(first, second), (second, spot.tip)]
    assert spot.message == f"change\n\n{TRAILERS}"


def test_amending_with_a_secret_is_refused(spot: Ground) -> None:
    tip = spot.record()
    spot.stage(text=f"{SECRET}\n")
    assert spot.call("commit", "--amend", "--no-edit").code == 1
    assert spot.tip == tip


def test_amending_on_a_protected_branch_is_refused(spot: Ground) -> None:
    spot.plain("switch", "--quiet", "release/1")
    tip = spot.tip
    assert spot.call("commit", "--amend", "--no-verify", "--message", "other").code != 0
    assert spot.tip == tip


def test_a_fixup_is_squashed_into_one_commit_with_one_set_of_trailers(spot: Ground) -> None:
    spot.of_build()
    start = spot.tip
    spot.stage()
    spot.git("commit", "--quiet", "--message", "change")
    spot.stage("more.txt")
    spot.git("commit", "--quiet", "--fixup", "HEAD")
    assert spot.message == f"fixup! change\n\n{TRAILERS}"
    old = new_commits(spot, start)
    spot.git("rebase", "--quiet", "--interactive", "--autosquash", start, env={"GIT_SEQUENCE_EDITOR": ":"})
    assert spot.message == f"change\n\n{TRAILERS}"
    assert recorded(spot) == [*old, spot.tip]
    assert became(spot) == dict.fromkeys(old, spot.tip)


def test_a_detached_head_is_recorded_without_a_branch(spot: Ground) -> None:
    spot.plain("switch", "--quiet", "--detach")
    spot.stage()
    spot.git("commit", "--quiet", "--message", "change")
    assert spot.commits() == [(spot.tip, "", spot.name)]


def test_a_branch_whose_ref_is_packed_is_recorded(spot: Ground) -> None:
    spot.git("pack-refs", "--all")
    spot.stage()
    spot.git("commit", "--quiet", "--message", "change")
    assert recorded(spot) == [spot.tip]


def test_a_refused_commit_leaves_everything_as_it_was(spot: Ground) -> None:
    spot.stage("staged.txt", f"{SECRET}\n")
    spot.write("file.txt", "not staged\n")
    spot.write("untracked.txt", "x\n")
    before = spot.git("status", "--porcelain"), spot.git("ls-files", "--stage"), spot.git("for-each-ref")
    assert spot.call("commit", "--message", "change").code == 1
    assert (spot.git("status", "--porcelain"), spot.git("ls-files", "--stage"), spot.git("for-each-ref")) == before


@pytest.mark.parametrize("name", ["with space.txt", "q'u\"o.txt", "line\nbreak.txt", "\u00fc\u4e2d.txt", "-n", ODD])
def test_a_secret_is_found_in_a_file_of_any_name(spot: Ground, name: str) -> None:
    spot.stage(name, f"{SECRET}\n")
    assert spot.call("commit", "--message", "change").code == 1
    assert [e.data["file"] for e in spot.events("security.violation")] == [name]


def test_a_file_name_that_is_no_text_is_told(spot: Ground) -> None:
    path = os.fsencode(spot.path) + b"/\xff\xfe.txt"
    with open(path, "w") as file:
        file.write(f"{SECRET}\n")
    spot.git("add", "--all")
    assert spot.call("commit", "--message", "change").code == 1
    assert len(spot.events("security.violation")) == 1


@pytest.mark.parametrize(
    "setting",
    [
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "color.ui=always",
        "diff.external=true",
        "diff.renames=copies",
        "diff.context=9",
        "diff.orderFile=none",
        "diff.ignoreSubmodules=all",
        "diff.wsErrorHighlight=all",
        "diff.relative=true",
        "core.quotePath=false",
        "core.fsmonitor=false",
    ],
)
def test_no_setting_of_git_hides_a_secret(ground: Ground, setting: str) -> None:
    key, _, text = setting.partition("=")
    ground.git("config", key, text)
    ground.stage(text=f"{SECRET}\n")
    assert ground.call("commit", "--message", "change").code == 1
    assert len(ground.events("security.violation")) == 1


@pytest.mark.parametrize("content", [b"\0%s\n", "\ufeff%s\n".encode("utf-16-le"), b"\xff\xfe\0%s\r\n"])
def test_no_content_hides_a_secret(ground: Ground, content: bytes) -> None:
    raw = SECRET.encode("utf-16-le") if content.startswith(b"\xff\xfe") and content[3:4] != b"%" else SECRET.encode()
    ground.write(".git/info/attributes", "*.bin -diff -text\n")
    (ground.path / "new.bin").write_bytes(content.replace(b"%\0s\0", raw).replace(b"%s", raw))
    ground.git("add", "new.bin")
    assert ground.call("commit", "--message", "change").code == 1
    assert len(ground.events("security.violation")) == 1


# --- rebase ---------------------------------------------------------------------------------------------------------


def rebased(ground: Ground, onto: str, *words: str, env: dict[str, str] | None = None) -> list[str]:
    """Rebase; the new commits, each of which must have been recorded once."""
    ground.git("rebase", "--quiet", *words, onto, env=env)
    made = new_commits(ground, onto)
    assert [commit for commit in recorded(ground) if commit in made] == made
    assert len(set(recorded(ground))) == len(recorded(ground))
    return made


def test_a_rebase_records_each_pick_once_and_pairs_it(spot: Ground) -> None:
    spot.of_build()
    start, old = three(spot)
    other = spot.plain("commit-tree", "-p", start, "-m", "other", f"{start}^{{tree}}")
    made = rebased(spot, other)
    assert recorded(spot) == made
    assert pairs(spot) == list(zip(old, made, strict=True))
    assert spot.git("log", "--format=%(trailers:only)%x00", f"{other}..").count(TRAILERS) == 3


def test_a_rebase_with_the_apply_backend_is_paired(spot: Ground) -> None:
    start, old = three(spot)
    other = spot.plain("commit-tree", "-p", start, "-m", "other", f"{start}^{{tree}}")
    spot.git("rebase", "--quiet", "--apply", other)
    assert pairs(spot) == list(zip(old, new_commits(spot, other), strict=True))


def test_rebase_i_with_every_command(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    start, old = three(spot)
    env = {**todo(tmp_path, "reword", "fixup", "edit"), **writing_message(tmp_path, "reworded")}
    spot.git("rebase", "--quiet", "--interactive", start, env=env)
    assert (spot.git_dir / "rebase-merge").is_dir()
    spot.stage("d.txt")
    spot.git("commit", "--quiet", "--message", "in between")
    spot.git("rebase", "--continue", env=env)
    made = new_commits(spot, start)
    assert spot.git("log", "--format=%s", f"{start}..").split("\n") == ["in between", "c", "reworded"]
    assert spot.git("log", "--format=%(trailers:only)%x00", f"{start}..").count(TRAILERS) == 3
    assert set(made) <= set(recorded(spot))
    assert len(set(recorded(spot))) == len(recorded(spot))
    # git pairs what was being edited with the last commit that was made meanwhile
    assert [became(spot)[commit] for commit in old] == [made[0], made[0], made[2]]


def test_rebase_onto(spot: Ground) -> None:
    start, old = three(spot)
    spot.git("rebase", "--quiet", "--onto", start, old[0])
    made = new_commits(spot, start)
    assert recorded(spot) == made and len(made) == 2
    assert pairs(spot) == list(zip(old[1:], made, strict=True))


def test_rebase_autostash_records_no_stash(spot: Ground) -> None:
    other = diverged(spot)
    spot.write("file.txt", f"dirty {SECRET}\n")
    made = rebased(spot, other, "--autostash")
    assert recorded(spot) == made and len(made) == 1
    assert SECRET in (spot.path / "file.txt").read_text()
    assert "hook.blocked" not in kinds(spot.events()) and "security.violation" not in kinds(spot.events())


def test_a_rebase_with_a_conflict_is_recorded_when_it_goes_on(spot: Ground) -> None:
    spot.of_build()
    other = diverged(spot, "same.txt", "same.txt")
    old = spot.tip
    assert spot.call("rebase", other).code != 0
    spot.stage("same.txt", "resolved\n")
    spot.git("rebase", "--continue", env={"GIT_EDITOR": ":"})
    assert recorded(spot) == [spot.tip] == new_commits(spot, other)
    assert pairs(spot) == [(old, spot.tip)]
    assert spot.message == f"ours\n\n{TRAILERS}"


def test_an_aborted_rebase_records_nothing(spot: Ground) -> None:
    other = diverged(spot, "same.txt", "same.txt")
    assert spot.call("rebase", other).code != 0
    spot.git("rebase", "--abort")
    assert kinds(spot.events()) == []


def test_rebase_r_records_merges(spot: Ground) -> None:
    start = spot.tip
    there = diverged(spot)
    spot.plain("merge", "--quiet", "--no-edit", there)
    base = spot.plain("commit-tree", "-p", start, "-m", "base", f"{start}^{{tree}}")
    spot.git("rebase", "--quiet", "--rebase-merges", base)
    made = new_commits(spot, base)
    assert len(made) == 3
    assert sorted(recorded(spot) + [named(e)[0] for e in spot.events("hook.merged")]) == sorted(made)


def test_a_protected_branch_given_by_name_is_not_rebased(spot: Ground) -> None:
    other = diverged(spot)
    spot.plain("branch", "--force", "release/1")
    branch, tip = branch_of(spot), spot.git("rev-parse", "release/1")
    said = spot.call("rebase", other, "release/1")
    assert said.code != 0 and lines_of_br3(said)[0].startswith("br3: pre-rebase: release/1 is protected")
    assert (branch_of(spot), spot.git("rev-parse", "release/1")) == (branch, tip)


def test_no_verify_does_not_rebase_a_protected_branch(spot: Ground) -> None:
    other = diverged(spot)
    spot.plain("branch", "--force", "release/1")
    spot.plain("switch", "--quiet", "release/1")
    tip = spot.tip
    assert spot.call("rebase", "--no-verify", other).code != 0
    spot.plain("rebase", "--abort")
    assert spot.tip == tip
    assert [(e.data["hook"], e.data["branch"]) for e in spot.events("hook.blocked")] == [
        ("prepare-commit-msg", "release/1")
    ]


def test_pull_rebase_is_recorded(spot: Ground, tmp_path: Path) -> None:
    other = diverged(spot)
    Ground(tmp_path).git("init", "--quiet", "--bare", "there.git")
    spot.plain("push", "--quiet", os.fspath(tmp_path / "there.git"), f"{other}:refs/heads/x")
    spot.git("pull", "--quiet", "--rebase", os.fspath(tmp_path / "there.git"), "x")
    assert recorded(spot) == [spot.tip] == new_commits(spot, other)


# --- cherry-pick, revert, am ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["cherry-pick", "revert"])
def test_picks_and_reverts_are_recorded_once_with_their_trailers(spot: Ground, command: str) -> None:
    spot.of_build()
    there = diverged(spot) if command == "cherry-pick" else spot.record()
    spot.git(command, *(["--no-edit"] if command == "revert" else []), there)
    assert recorded(spot) == [spot.tip]
    assert spot.message.endswith(f"\n\n{TRAILERS}") and spot.message.count("Br3-Run") == 1


@pytest.mark.parametrize("command", ["cherry-pick", "revert"])
def test_picks_and_reverts_are_refused_on_a_protected_branch(spot: Ground, command: str) -> None:
    there = diverged(spot)
    spot.plain("branch", "--force", "release/1", there if command == "revert" else "HEAD")
    spot.plain("switch", "--quiet", "release/1")
    tip = spot.tip
    said = spot.call(command, *(["--no-edit"] if command == "revert" else []), there)
    assert said.code != 0 and spot.tip == tip
    assert [(e.data["hook"], e.data["branch"]) for e in spot.events("hook.blocked")] == [
        ("prepare-commit-msg", "release/1")
    ]


def test_a_pick_of_several_is_recorded_one_by_one(spot: Ground) -> None:
    start, old = three(spot)
    spot.plain("reset", "--quiet", "--hard", start)
    spot.record("before.txt")
    since = spot.tip
    spot.git("cherry-pick", *old)
    assert recorded(spot) == new_commits(spot, since) and len(recorded(spot)) == 3


def test_a_pick_with_a_conflict_is_recorded_when_it_goes_on(spot: Ground) -> None:
    spot.of_build()
    there = diverged(spot, "same.txt", "same.txt")
    assert spot.call("cherry-pick", there).code != 0
    spot.stage("same.txt", "resolved\n")
    spot.git("cherry-pick", "--continue", env={"GIT_EDITOR": ":"})
    assert recorded(spot) == [spot.tip]
    assert spot.message == f"theirs\n\n{TRAILERS}"


def test_a_pick_that_is_committed_by_hand_is_looked_at(spot: Ground) -> None:
    start = spot.tip
    there = spot.record(text=f"{SECRET}\n")
    spot.plain("reset", "--quiet", "--hard", start)
    spot.git("cherry-pick", "--no-commit", there)
    assert spot.call("commit", "--message", "change").code == 1
    assert spot.tip == start and kinds(spot.events()) == ["security.violation"]


def test_am_commits(spot: Ground, tmp_path: Path) -> None:
    spot.of_build()
    there = diverged(spot)
    spot.git("format-patch", "--quiet", "--output-directory", os.fspath(tmp_path / "patches"), "-1", there)
    (patch,) = (tmp_path / "patches").iterdir()
    spot.git("am", "--quiet", os.fspath(patch))
    assert spot.message == "theirs"
    assert kinds(spot.events()) == []  # git runs none of br3's hooks


# --- merge ----------------------------------------------------------------------------------------------------------


def merged(ground: Ground) -> list[tuple[str, str]]:
    found = ground.events("hook.merged")
    assert {named(e)[1:] for e in found} <= {(branch_of(ground), ground.name)}
    return [(named(e)[0], e.data["how"]) for e in found]


@pytest.mark.parametrize("option", ["--ff", "--no-ff"])
def test_a_merge_of_what_is_ahead(spot: Ground, option: str) -> None:
    start = spot.tip
    there = spot.record()
    spot.plain("reset", "--quiet", "--hard", start)
    spot.git("merge", "--quiet", "--no-edit", option, there)
    assert merged(spot) == [(spot.tip, "fast-forward" if option == "--ff" else "merge")]
    assert recorded(spot) == []


def test_a_fast_forward_to_a_merge_is_a_fast_forward(spot: Ground) -> None:
    start = spot.tip
    there = diverged(spot)
    spot.plain("merge", "--quiet", "--no-edit", there)
    tip = spot.tip
    spot.plain("reset", "--quiet", "--hard", start)
    spot.git("merge", "--quiet", tip)
    assert merged(spot) == [(tip, "fast-forward")]


def test_an_octopus_is_recorded_once(spot: Ground) -> None:
    spot.of_build()
    start = spot.tip
    one, two = diverged(spot), ""
    ours = spot.tip
    spot.plain("reset", "--quiet", "--hard", start)
    two = spot.record("two.txt")
    spot.plain("reset", "--quiet", "--hard", ours)
    spot.git("merge", "--quiet", "--no-edit", one, two)
    assert len(spot.git("rev-list", "--parents", "-1", "HEAD").split()) == 4
    assert merged(spot) == [(spot.tip, "merge")] and recorded(spot) == []
    assert spot.message.endswith(f"\n\n{TRAILERS}")


def test_a_squashed_merge_is_recorded_when_it_is_committed(spot: Ground) -> None:
    spot.of_build()
    there = diverged(spot)
    spot.git("merge", "--quiet", "--squash", there)
    assert kinds(spot.events()) == []
    spot.git("commit", "--quiet", "--no-edit")
    assert recorded(spot) == [spot.tip] and merged(spot) == []
    assert spot.message.endswith(f"\n\n{TRAILERS}") and spot.message.count("Br3-Run") == 1


def test_a_merge_with_a_conflict_is_recorded_when_it_is_committed(spot: Ground) -> None:
    spot.of_build()
    there = diverged(spot, "same.txt", "same.txt")
    assert spot.call("merge", there).code != 0
    spot.stage("same.txt", "resolved\n")
    spot.git("commit", "--quiet", "--no-edit")
    assert recorded(spot) == [spot.tip] and merged(spot) == []
    assert spot.trailers == TRAILERS


def test_a_merge_committed_by_hand_is_looked_at_for_what_it_adds(spot: Ground) -> None:
    there = diverged(spot, "same.txt", "same.txt")
    tip = spot.tip
    assert spot.call("merge", there).code != 0
    spot.stage("same.txt", f"{SECRET}\n")
    assert spot.call("commit", "--no-edit").code == 1
    assert spot.tip == tip and [e.data["file"] for e in spot.events("security.violation")] == ["same.txt"]


def test_conflict_markers_are_not_committed(spot: Ground) -> None:
    there = diverged(spot, "same.txt", "same.txt")
    tip = spot.tip
    assert spot.call("merge", there).code != 0
    assert spot.call("commit", "--all", "--no-edit").code == 1
    assert spot.tip == tip and {e.data["rule"] for e in spot.events("hook.blocked")} == {"conflict-marker"}


@pytest.mark.parametrize("continues", [False, True])
def test_a_merge_with_a_conflict_is_refused_on_a_protected_branch(spot: Ground, continues: bool) -> None:
    there = diverged(spot, "same.txt", "same.txt")
    spot.plain("branch", "--force", "release/1")
    spot.plain("switch", "--quiet", "release/1")
    tip = spot.tip
    assert spot.call("merge", there).code != 0
    spot.stage("same.txt", "resolved\n")
    words = ["merge", "--continue"] if continues else ["commit", "--no-edit"]
    said = spot.call(*words, env={"GIT_EDITOR": ":"})
    assert said.code != 0 and spot.tip == tip
    assert len(lines_of_br3(said)) == 2


def test_pull_by_fast_forward_is_recorded(spot: Ground, tmp_path: Path) -> None:
    start = spot.tip
    there = spot.record()
    spot.plain("reset", "--quiet", "--hard", start)
    Ground(tmp_path).git("init", "--quiet", "--bare", "there.git")
    spot.plain("push", "--quiet", os.fspath(tmp_path / "there.git"), f"{there}:refs/heads/x")
    spot.git("pull", "--quiet", "--ff-only", os.fspath(tmp_path / "there.git"), "x")
    assert merged(spot) == [(there, "fast-forward")]


# --- what no hook is for --------------------------------------------------------------------------------------------


def test_commands_that_make_no_commit_record_nothing(spot: Ground, tmp_path: Path) -> None:
    spot.record()
    spot.write("file.txt", "dirty\n")
    spot.git("stash", "--quiet")
    spot.git("stash", "pop", "--quiet")
    spot.git("checkout", "--quiet", "--", "file.txt")
    spot.git("reset", "--quiet", "--hard", "HEAD^")
    spot.git("branch", "another")
    spot.git("tag", "v1")
    spot.git("gc", "--quiet")
    spot.git("worktree", "add", "--quiet", os.fspath(tmp_path / "new"), "another")
    spot.git("worktree", "move", os.fspath(tmp_path / "new"), os.fspath(tmp_path / "moved"))
    spot.git("worktree", "remove", os.fspath(tmp_path / "moved"))
    assert kinds(spot.events()) == []


def test_ways_out_are_recorded(spot: Ground) -> None:
    spot.stage(text=f"{SECRET}\n")
    spot.call("commit", "--message", "change")
    (event,) = spot.events("security.violation")
    rule = event.data["rule"]
    spot.git("commit", "--quiet", "--message", "change", env={"BR3_SKIP": rule})
    (allowed,) = spot.events("hook.allowed")
    assert (allowed.data["rule"], allowed.data["use"]) == (rule, "skip")
    assert recorded(spot) == [spot.tip]


def test_a_protected_branch_may_be_skipped_once_and_that_is_recorded(spot: Ground) -> None:
    spot.plain("switch", "--quiet", "release/1")
    spot.stage()
    spot.git("commit", "--quiet", "--message", "change", env={"BR3_SKIP": "protected-branch"})
    assert {(e.data["hook"], e.data["use"]) for e in spot.events("hook.allowed")} == {
        ("pre-commit", "skip"),
        ("prepare-commit-msg", "skip"),
    }
    assert recorded(spot) == [spot.tip]


@pytest.mark.parametrize("words", [["--object-format=sha256"], ["--ref-format=reftable"]])
def test_other_storages(chosen_git: None, tmp_path: Path, words: list[str]) -> None:
    if words == ["--ref-format=reftable"] and git_version() < (2, 45):
        pytest.skip("this git has no reftable")
    other = Ground(tmp_path / "project")
    other.path.mkdir()
    other.git("init", "--quiet", *words)
    other.write("file.txt", "x\n")
    other.git("add", "--all")
    other.git("commit", "--quiet", "--message", "begin")
    other.git("switch", "--quiet", "--create", "work")
    side = other.linked(tmp_path / "side", "-b", "side")
    other.br3("hooks", "install")
    for here in (other, side):
        here.stage()
        here.git("commit", "--quiet", "--message", "change")
    assert other.commits() == [(other.tip, "work", ""), (side.tip, "side", "side")]
    here = side
    here.stage(text=f"{SECRET}\n")
    assert here.call("commit", "--message", "change").code == 1


def test_a_checkout_of_the_same_commit_by_name_is_a_switch(spot: Ground) -> None:
    spot.git("switch", "--quiet", "--create", "other")
    assert [value(e, "branch") for e in spot.events("hook.checkout")] == ["other"]
