"""Overhead: four builds of a known length through br3, beside a shell script that does the same with git alone.

    python tests/bench/overhead.py [-n RUNS] [--seconds S]

Each build's agent sleeps S seconds (5) and writes a file; a trivial verification must find it; all four must be
landed, the whole verified, worktrees and branches gone. br3 does it with `br3 run --trust` and `br3 finish`, the
script with four worktrees, four subshells in the background, `git merge --no-ff` and clean-up. They take turns, each
time in a fresh repository. The aim for br3 is under 7 s wall with two cores, S = 5.

The second table is the CPU of `br3 --help` and of `br3 status` where four builds are verified and wait for landing
(aim: under 0.15 s each).
"""

from __future__ import annotations

from pathlib import Path

from measuring import BR3, Failed, Row, Scratch, arguments, main, note, scratch, show

BUILDS = ("one", "two", "three", "four")
LOOKS = 5  # at --help and status, for each round

HEAD = """\
[plan]
name = "bench"

[setup]
run = []

[verify]
run = ["test -s one.txt && test -s two.txt && test -s three.txt && test -s four.txt"]
"""
BUILD = """
[[build]]
id = "{build}"
agent = "shell"
command = "sleep {seconds:g} && echo {build} > {build}.txt"
owns = ["{build}.txt"]
prompt = "Write {build}.txt."
[build.verify]
run = ["test -s {build}.txt"]
"""

PLAIN = """\
set -e
for build in one two three four; do
    git worktree add --quiet -b "build/$build" "../repo.worktrees/$build" main
done
pids=
for build in one two three four; do
    (
        cd "../repo.worktrees/$build"
        sleep {seconds:g}
        echo "$build" > "$build.txt"
        git add "$build.txt"
        git commit --quiet -m "Write $build.txt"
        test -s "$build.txt"
    ) &
    pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
for build in one two three four; do
    git merge --quiet --no-ff -m "Merge $build" "build/$build"
done
test -s one.txt && test -s two.txt && test -s three.txt && test -s four.txt
for build in one two three four; do
    git worktree remove "../repo.worktrees/$build"
    git branch --quiet -d "build/$build"
done
"""


def repository(place: Scratch, name: str, seconds: float) -> Path:
    """A repository with a plan; ``name`` is its directory's."""
    path = place.path / name / "repo"
    path.mkdir(parents=True)
    (path / "README.md").write_text("# bench\n")
    (path / "br3.toml").write_text(HEAD + "".join(BUILD.format(build=b, seconds=seconds) for b in BUILDS))
    place.commit_all(path, "Begin")
    return path


def see_that_all_landed(place: Scratch, path: Path) -> None:
    """Failed unless main holds the four files by four merges and nothing is left lying about."""
    merges = place.git(path, "rev-list", "--count", "--merges", "main")
    files = [build for build in BUILDS if not (path / f"{build}.txt").is_file()]
    branches = place.git(path, "branch", "--format=%(refname:short)").split()
    trees = place.git(path, "worktree", "list", "--porcelain").count("worktree ")
    dirty = place.git(path, "status", "--porcelain")
    if (merges, files, branches, trees, dirty) != ("4", [], ["main"], 1, ""):
        raise Failed(f"{path}: {merges} merges, without {files}, branches {branches}, {trees} worktrees, {dirty!r}")


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--seconds", type=float, default=5, help="how long each agent works (default: 5)")
    options = parser.parse_args()
    plain = Row("plain git in sh")
    br3 = Row("br3 run, finish", beside=plain)
    run, finish = Row("  br3 run"), Row("  br3 finish")
    usage, status = Row("br3 --help"), Row("br3 status")
    with scratch() as place:
        note("warming up (not counted)")
        waiting = repository(place, "waiting", 0)
        place.run([BR3, "run", "--trust"], waiting)
        for number in range(options.runs):
            note(f"round {number + 1} of {options.runs}")
            path = repository(place, f"br3-{number}", options.seconds)
            run.runs.append(place.run([BR3, "run", "--trust"], path))
            finish.runs.append(place.run([BR3, "finish"], path))
            br3.runs.append(run.runs[-1] + finish.runs[-1])
            see_that_all_landed(place, path)
            path = repository(place, f"plain-{number}", options.seconds)
            plain.runs.append(place.run(["sh", "-c", PLAIN.format(seconds=options.seconds)], path))
            see_that_all_landed(place, path)
            for _ in range(LOOKS):
                usage.runs.append(place.run([BR3, "--help"], waiting))
                status.runs.append(place.run([BR3, "status"], waiting))
    show([br3, run, finish, plain])
    print()
    show([usage, status], digits=3)


if __name__ == "__main__":
    main(bench)
