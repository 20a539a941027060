"""What worktrees every day are made of: distances, ports, the table, names for the shell."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from br3.cli import shell_init, worktree_table
from br3.cli.output import table
from br3.everyday import answers, sizes
from br3.everyday.cells import Cells
from br3.everyday.seeing import Row, Seen
from br3.repo.changes import Changes
from br3.repo.distances import Distance, Pair, changed_lines, distances, shortstat
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Repository, Worktree
from br3.workspace import ports
from tests.conftest import Scratch

# Distances


@pytest.fixture
def tangle(repo: Scratch) -> tuple[Git, list[CommitId]]:
    """A history with merges that cross and a root of its own."""
    git = Git(repo.path)
    tree = git("mktree", input=b"").text
    chance = random.Random(3)
    made: list[str] = []
    for number in range(60):
        count = min(len(made), chance.choice([1, 1, 1, 2]))
        parents = chance.sample(made[-9:], count) if made and number != 50 else []
        words = [word for parent in parents for word in ("-p", parent)]
        made.append(git("commit-tree", tree, "-m", str(number), *words).text)
    return git, [CommitId(commit) for commit in made]


def assert_as_git_says(git: Git, pairs: list[Pair]) -> None:
    for (a, b), found in distances(git, pairs).items():
        behind, ahead = git("rev-list", "--left-right", "--count", f"{a}...{b}").text.split()
        assert (found.ahead, found.behind) == (int(ahead), int(behind))
        best = git("merge-base", "--all", a, b, ok=(0, 1)).text.split()
        assert found.fork in best if best else found.fork is None


def test_distances_of_many_pairs_are_what_git_says_of_each(tangle: tuple[Git, list[CommitId]]) -> None:
    git, commits = tangle
    chosen = random.Random(5).sample(commits[:50], 12)
    assert_as_git_says(git, [(commits[49], commit) for commit in chosen] + [(chosen[0], chosen[1])])


def test_distances_of_unrelated_histories_are_what_git_says(tangle: tuple[Git, list[CommitId]]) -> None:
    git, commits = tangle
    assert_as_git_says(git, [(commits[49], commits[50]), (commits[49], commits[20])])


def test_lines_of_many_pairs_come_from_one_process(repo: Scratch) -> None:
    first = CommitId(repo.head())
    repo.write("a", "1\n2\n3\n")
    second = CommitId(repo.commit())
    repo.write("a", "1\n3\n4\n")
    repo.git("mv", "README.md", "READ.md")
    third = CommitId(repo.commit())
    pairs = [(first, second), (second, second), (second, third), (first, third)]
    found = changed_lines(Git(repo.path), pairs)
    assert found == {pairs[0]: (3, 0), pairs[1]: (0, 0), pairs[2]: (1, 1), pairs[3]: (3, 0)}


def test_shortstat_is_read_with_either_number_missing() -> None:
    assert shortstat(" 3 files changed, 10 insertions(+), 2 deletions(-)") == (10, 2)
    assert shortstat(" 1 file changed, 1 deletion(-)") == (0, 1)
    assert shortstat("") == (0, 0)


# What is kept


def test_answers_survive_a_line_that_was_cut_off_anywhere(tmp_path: Path) -> None:
    a, b, c = (CommitId(letter * 40) for letter in "abc")
    answer = answers.Answer(Distance(1, 2, c), (3, 44))
    answers.keep(tmp_path, {(a, b): answer})
    path = tmp_path / "br3" / "distances.cache"
    whole = path.read_text()
    line = whole.strip().replace(a, c)
    for end in range(len(line)):
        path.write_text(f"{whole}\n{line[:end]}")
        answers.keep(tmp_path, {(b, c): answer})
        assert answers.known(tmp_path) == {(a, b): answer, (b, c): answer}


def test_answers_stay_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_BOUND_BYTES", 2000)
    for number in range(60):
        pair = (CommitId(f"{number:040d}"), CommitId("b" * 40))
        answers.keep(tmp_path, {pair: answers.Answer(Distance(number, 0, None), (0, 0))})
    assert (tmp_path / "br3" / "distances.cache").stat().st_size <= 2200
    assert (CommitId(f"{59:040d}"), CommitId("b" * 40)) in answers.known(tmp_path)


def test_a_size_is_measured_again_when_the_worktree_has_changed(tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_bytes(os.urandom(50_000))
    (tmp_path / "tree" / ".git").mkdir()
    (tmp_path / "tree" / ".git" / "pack").write_bytes(os.urandom(90_000))
    size = sizes.measure(tmp_path / "tree", tmp_path / "tree" / ".git")
    assert size is not None and 50_000 <= size.bytes < 90_000
    assert size.is_fresh(tmp_path / "tree", tmp_path / "tree" / ".git")
    os.utime(tmp_path / "tree", (1, 1))
    assert not size.is_fresh(tmp_path / "tree", tmp_path / "tree" / ".git")
    assert sizes.measure(tmp_path / "tree", tmp_path, deadline=0.0) is None


# Ports


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / "trees" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    return make


def test_each_worktree_has_a_port_of_its_own_and_keeps_it(tmp_path: Path, place: Callable[[str], Path]) -> None:
    given = {name: ports.port_of(tmp_path, place(name)) for name in "abcdefgh"}
    assert len(set(given.values())) == 8
    assert all(20_000 <= port < 32_768 for port in given.values())
    assert given == {name: ports.port_of(tmp_path, place(name)) for name in "abcdefgh"}


def test_a_port_that_somebody_listens_on_is_not_given(tmp_path: Path, place: Callable[[str], Path]) -> None:
    wanted = ports.port_of(tmp_path / "one", place("a"))
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            server = socket.socket(family)
            server.bind((address, wanted))
        except OSError:
            continue  # a machine without that protocol
        with server:
            assert ports.port_of(tmp_path / address.replace(":", "_"), place("a")) != wanted


def test_two_that_ask_at_once_get_two_ports(tmp_path: Path, place: Callable[[str], Path]) -> None:
    found: list[int] = []
    names = [f"w{number}" for number in range(12)]

    def ask(name: str) -> None:
        found.append(ports.port_of(tmp_path, place(name)))

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 12
    assert sorted(ports.known_ports(tmp_path).values()) == sorted(found)


def test_a_port_goes_with_its_worktree_but_not_with_a_volume(tmp_path: Path, place: Callable[[str], Path]) -> None:
    gone, away = place("gone"), place("stick/away")
    kept = ports.port_of(tmp_path, away)
    ports.port_of(tmp_path, gone)
    shutil.rmtree(gone)
    shutil.rmtree(away.parent)
    ports.port_of(tmp_path, place("new"))
    assert str(gone) not in ports.known_ports(tmp_path)
    assert ports.known_ports(tmp_path)[str(away)] == kept
    ports.free(tmp_path, away)
    assert str(away) not in ports.known_ports(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"/a": "x", "/b": 99999}', "\x00"])
def test_a_damaged_registry_is_as_none(tmp_path: Path, place: Callable[[str], Path], content: str) -> None:
    (tmp_path / "br3").mkdir()
    (tmp_path / "br3" / "ports.json").write_text(content)
    assert ports.port_of(tmp_path, place("a")) == ports.known_ports(tmp_path)[str(place("a"))]


def test_a_port_is_given_where_nothing_can_be_written(tmp_path: Path, place: Callable[[str], Path]) -> None:
    (tmp_path / "br3").write_text("in the way")
    assert ports.port_of(tmp_path, place("a")) >= 20_000


def test_where_nothing_can_be_written_a_port_of_another_worktree_is_not_given(
    tmp_path: Path, place: Callable[[str], Path]
) -> None:
    wanted = ports.port_of(tmp_path, place("a"))
    (tmp_path / "br3" / "ports.json").write_text(json.dumps({str(place("b")): wanted}))
    locks = tmp_path / "br3" / "locks"
    locks.rename(tmp_path / "aside")
    locks.write_text("in the way")
    assert ports.port_of(tmp_path, place("a")) != wanted


# The table


def test_columns_of_a_table_give_way_in_their_order_where_it_is_narrow() -> None:
    heads, rows = ["id", "tokens", "cost"], [["a", "1,000,000", "2.00 USD"]]
    shown = {}
    for width in (23, 22, 12, 11, 1):
        form = table(heads, rows, width=width, giving_way=["tokens", "cost"])
        shown[width] = form.split("\n")[1]
    whole = "a   1,000,000  2.00 USD"
    assert shown == {23: whole, 22: "a   2.00 USD", 12: "a   2.00 USD", 11: "a", 1: "a"}


def seen_with(*names: str) -> tuple[Seen, list[Cells]]:
    rows = []
    for name in names:
        path = Path("/somewhere/else/repo.worktrees") / name
        registered = Worktree(path, CommitId("a" * 40), name)
        rows.append(Row(path, name, CommitId("a" * 40), registered, port=20_000, committed=1))
    cells = [Cells(Changes(1, 2, 3, 0, (), ()), Distance(4, 5, None), (6, 7), conflicts=("f",)) for _ in rows]
    return Seen(Repository(Path("/r/.git"), None), tuple(rows), "main", CommitId("b" * 40)), cells


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    seen, cells = seen_with("team/JIRA-1-a-very-long-name-of-a-branch-part-1", "short")
    lines = worktree_table._fitted(seen, cells, width)
    assert len(lines) == 3
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert max(map(len, plain)) < width
    assert "short" in plain[2] and "+1 ~2 ?3" in plain[2]
    if width >= 80:
        assert "↑4 ↓5 ✗1" in plain[2]


def test_columns_with_nothing_in_them_are_left_out_and_those_to_come_are_not() -> None:
    seen, cells = seen_with("a")
    cells[0].conflicts = ()
    heads = worktree_table._fitted(seen, cells, 200)[0]
    assert "cost" not in heads and "size" not in heads
    cells[0].coming.add("size")
    head, row = worktree_table._fitted(seen, cells, 200)
    assert "size" in head and "…" in row


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "0 m"), (3_599, "59 m"), (3_600, "1 h"), (86_400 * 13, "13 d"), (86_400 * 14, "2 w"), (86_400 * 800, "2 y")],
)
def test_ages_are_one_number(seconds: float, said: str) -> None:
    assert worktree_table.age(seconds) == said


def test_sizes_are_short() -> None:
    assert [worktree_table.size(n) for n in (0, 512, 1536, 20_000_000, 5 * 1024**3)] == [
        "0B",
        "512B",
        "1.5K",
        "19M",
        "5.0G",
    ]


def test_a_long_name_keeps_both_ends() -> None:
    assert worktree_table.shortened("abcdefghij", 7) == "abc…hij"
    assert worktree_table.shortened("abc", 7) == "abc"


# The shell


@pytest.mark.parametrize("shell", shell_init.SHELLS)
def test_the_shell_follows_br3_and_keeps_its_exit_code(repo: Scratch, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    target = repo.path.parent / "with space\n"
    repo.git("worktree", "add", "--quiet", "-b", "x", str(target))
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "br3").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m br3 "$@"\n')
    (directory / "br3").chmod(0o755)
    posix = f'compdef() {{ :; }}; eval "$(br3 shell-init {shell})"'
    load = "br3 shell-init fish | source" if shell == "fish" else posix
    status = "$status" if shell == "fish" else "$?"
    script = f"{load}\nbr3 worktree switch nowhere\necho {status}\nbr3 worktree switch x\npwd\nbr3 --version"
    env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
    done = subprocess.run([shell, "-c", script], cwd=repo.path, env=env, capture_output=True, text=True)
    out = done.stdout
    assert out.startswith(f"2\n{target}\n") and "br3 " in out, done.stderr
    assert "no worktree 'nowhere'" in done.stderr


@pytest.mark.parametrize("shell", shell_init.SHELLS)
def test_shell_init_brings_completion(repo: Scratch, shell: str) -> None:
    said = repo.br3("shell-init", shell).out
    assert f"_BR3_COMPLETE={shell}_complete" in said and "BR3_CD_FILE" in said


def complete(repo: Scratch, *words: str) -> list[str]:
    env = {"_BR3_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["br3", *words]), "COMP_CWORD": str(len(words))}
    return [line.partition(",")[2] for line in repo.br3(env=env).out.splitlines()]


def test_builds_runs_models_agents_kinds_are_completed(repo: Scratch) -> None:
    builds = '[[build]]\nid = "alpha"\nagent = "manual"\n[[build]]\nid = "beta"\nagent = "manual"\n'
    repo.plan(f'[plan]\nname = "t"\n[setup]\n[verify]\nrun = ["true"]\n{builds}')
    assert complete(repo, "run", "al") == ["alpha"]
    assert complete(repo, "up", "alpha", "") == ["beta"]
    repo.br3("up", "--trust")
    run = repo.status()["run"]
    repo.write("br3.toml", "this is [ no plan")
    assert complete(repo, "verify", "") == ["alpha", "beta"]
    assert complete(repo, "logs", "alpha", "--run", run[:4]) == [run]
    assert complete(repo, "run", "--agent", "cl") == ["claude"]
    assert "claude-sonnet-4-5" in complete(repo, "run", "--model", "claude-son")
    assert "worktree.created" in complete(repo, "telemetry", "events", "--kind", "worktree.")


def test_tasks_are_completed_for_the_build_that_was_named(repo: Scratch) -> None:
    head = '[plan]\nname = "t"\n[setup]\n[verify]\nrun = ["true"]\n[defaults]\nagent = "manual"\n'
    tasks = "".join(f'[[build]]\nid = "{b}"\n[[build.task]]\nid = "{b}.1"\n[[build.task]]\nid = "same"\n' for b in "ab")
    repo.plan(f'{head}{tasks}[[build]]\nid = "c"\n')
    assert complete(repo, "retry", "a", "--from", "") == ["a.1", "same"]
    assert complete(repo, "retry", "c", "--from", "") == ["1"]
    assert complete(repo, "retry", "--from", "b") == ["b.1", "b/same"]
    assert complete(repo, "skip", "") == ["a.1", "a/same", "b.1", "b/same", "1"]
    assert complete(repo, "skip", "a/") == ["a/a.1", "a/same"]


def test_completion_outside_of_a_repository_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    env = {**os.environ, "_BR3_COMPLETE": "bash_complete", "COMP_WORDS": "br3 status ", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-P", "-m", "br3"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
