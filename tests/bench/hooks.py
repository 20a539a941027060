"""Hooks: what they add to `git commit`, br3's with everything installed beside other managers' with one trivial check.

    bash tests/external/install               # the other managers
    python tests/bench/hooks.py [-n RUNS] [--git DIRECTORY]

Each kind of hooks has a repository of its own; every round commits once in each, in turn. br3 has all its hooks, a
protected branch, conventional messages and, in the build's worktree, ownership and trailers. The others have `true`
as their one check before a commit, and are called as their packages' own hooks call them. The files are written and
staged before the clock starts. A hit is a line with a rule's keyword that is no secret, so that the whole guard runs.

"added" and "ratio" compare medians with that of no hooks for the same number of files and kind of worktree; CPU time is
there too, since it says more on a machine that others use. The aims: br3 adds at most 20 ms without a hit and 45 ms
with one, to a commit of one file or 50; less than prek and lefthook; a tenth of pre-commit. The last columns are the
processes of one commit, git's own included; all of them only where strace is.

--git takes the git of a directory, such as .external/git/2.55.0/bin, in the place of the machine's: since 2.54 br3's
hooks are installed by configuration.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measuring import BR3, Failed, Scratch, Spent, arguments, main, note, scratch

EXTERNAL = Path(__file__).parents[2] / ".external"
FEW, MANY = 1, 50
AIM_WITHOUT, AIM_WITH, AIM_SHARE = 20.0, 45.0, 0.1

PLAN = """\
[plan]
name = "bench"

[setup]
run = []

[verify]
run = ["true"]

[hooks]
protect = ["release/*"]
commit_msg = "conventional"

[[build]]
id = "one"
agent = "manual"
prompt = "Change the files."
owns = ["src/**"]
[build.verify]
run = ["true"]
"""
PRE_COMMIT = """\
repos:
- repo: local
  hooks:
  - {id: check, name: check, language: system, entry: "true", pass_filenames: false, always_run: true}
"""
LEFTHOOK = "pre-commit: {commands: {check: {run: 'true'}}}\n"


@dataclass
class Place:
    """A worktree in which commits are made, with what they took. ``none`` is the same one without any hooks."""

    name: str
    path: Path
    files: int
    hit: bool = False
    none: Place | None = None
    runs: list[Spent] = field(default_factory=list)

    def change(self, place: Scratch, number: int) -> None:
        """Change and stage files for one commit. A hit has files of its own: a line that goes is in the diff, too."""
        name = f"compute_{number}_{self.files}"
        for index in range(self.files):
            body = "".join(f"    total += weight[{line}] * {number + index + line}\n" for line in range(30))
            hit = f"    # {name}: the api_key comes from the vault\n" if self.hit and index == 0 else ""
            target = self.path / "src" / module(index, self.hit)
            target.parent.mkdir(exist_ok=True)
            target.write_text(f"def {name}(weight):\n    total = 0\n{hit}{body}    return total\n")
        place.git(self.path, "add", "--all", "src")

    def median(self, measure: str = "wall") -> float:
        """Milliseconds of a commit."""
        return 1000 * statistics.median(getattr(spent, measure) for spent in self.runs)

    def added(self, measure: str = "wall") -> float:
        """Milliseconds that the hooks add."""
        return self.median(measure) - (self.none.median(measure) if self.none else 0)


def module(index: int, hit: bool) -> str:
    """The name of a file that commits change."""
    return f"{'asking' if hit else 'plain'}_{index}.py"


def commit(number: int | str) -> list[str]:
    """The command that is measured."""
    return ["git", "commit", "--quiet", f"--message=feat: change {number}"]


def repository(place: Scratch, name: str, files: dict[str, str]) -> Path:
    """A repository with these files, a plan, and the modules that will change."""
    path = place.path / name / "repo"
    (path / "src").mkdir(parents=True)
    for relative, text in {"br3.toml": PLAN, **files}.items():
        (path / relative).parent.mkdir(exist_ok=True)
        (path / relative).write_text(text)
    for index in range(MANY):
        for hit in (False, True):
            (path / "src" / module(index, hit)).write_text("pass\n")
    place.commit_all(path, "Begin")
    return path


def linked(place: Scratch, repo: Path) -> Path:
    """A linked worktree by git alone."""
    path = repo.parent / "linked"
    place.git(repo, "worktree", "add", "--quiet", "-b", "side", str(path))
    return path


def with_br3(place: Scratch, repo: Path) -> Path:
    """Install everything; the worktree of the plan's build."""
    place.read([BR3, "up", "--trust"], repo)
    place.read([BR3, "hooks", "install"], repo)
    place.read([BR3, "hooks", "status"], repo)
    return repo.parent / "repo.worktrees" / "one"


def empty_hook(place: Scratch, repo: Path) -> None:
    """A pre-commit hook that does nothing."""
    hook = repo / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)


def installing(*command: str) -> Callable[[Scratch, Path], None]:
    """What runs a manager's own installation."""

    def install(place: Scratch, repo: Path) -> None:
        place.read(command, repo)

    return install


def lefthook() -> str:
    """The program in npm's package, which its hooks call where lefthook is not on PATH."""
    found = sorted((EXTERNAL / "node_modules").glob("lefthook-*/bin/lefthook"))
    if not found:
        raise Failed("the other managers are not installed: bash tests/external/install")
    return str(found[0])


def places(place: Scratch) -> list[Place]:
    """All that is compared."""
    scripts, modules = EXTERNAL / "venv" / "bin", EXTERNAL / "node_modules"
    others: list[tuple[str, dict[str, str], Callable[[Scratch, Path], None]]] = [
        ("sh, exit 0", {}, empty_hook),
        ("prek", {".pre-commit-config.yaml": PRE_COMMIT}, installing(str(scripts / "prek"), "install")),
        ("lefthook", {"lefthook.yml": LEFTHOOK}, installing(lefthook(), "install")),
        ("husky", {".husky/pre-commit": "true\n"}, installing("node", str(modules / "husky" / "bin.js"))),
        ("pre-commit", {".pre-commit-config.yaml": PRE_COMMIT}, installing(str(scripts / "pre-commit"), "install")),
    ]
    plain, guarded = repository(place, "none", {}), repository(place, "br3", {})
    worktree, build = linked(place, plain), with_br3(place, guarded)
    few = Place("none", plain, FEW)
    many = Place("none", plain, MANY)
    beside = Place("none, linked worktree", worktree, FEW)
    found = [few, many, beside]
    for none, path, name in (few, guarded, "br3"), (many, guarded, "br3"), (beside, build, "br3, build's worktree"):
        found += [Place(name, path, none.files, hit, none) for hit in (False, True)]
    for name, files, install in others:
        path = repository(place, re.sub(r"\W+", "-", name), files)
        install(place, path)
        found.append(Place(name, path, FEW, none=few))
    return found


def processes(place: Scratch, where: Place) -> tuple[int, int | None]:
    """Git processes and all processes of one commit; without strace only git's, as it traces them itself."""
    trace = place.path / "trace"
    trace.unlink(missing_ok=True)
    where.change(place, 10**6)
    strace = shutil.which("strace")
    calls = "trace=execve,clone,clone3,fork,vfork,exit_group"
    traced = [strace, "-f", "-qq", "-o", str(trace), "-e", calls] if strace else []
    env = place.env if strace else {**place.env, "GIT_TRACE2_EVENT": str(trace)}
    done = subprocess.run([*traced, *commit("counted")], cwd=where.path, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{where.name}, counted: {done.stderr}")
    lines = trace.read_text(errors="replace").splitlines()
    if not strace:
        return sum('"event":"start"' in line for line in lines), None
    # A process ends by exit_group once, whichever of its threads calls it.
    ended: set[str] = set()
    gits: set[str] = set()
    for line in lines:
        process = line.split()[0]
        if " exit_group(" in line:
            ended.add(process)
        elif re.search(r' execve\("[^"]*/git(-[^"/]*)?", ', line) and "= -1" not in line:
            gits.add(process)
        elif "execve resumed" in line and "= -1" in line:
            gits.discard(process)
    return len(gits), len(ended)


def show(found: Sequence[Place], counts: dict[int, tuple[int, int | None]]) -> None:
    """Print the table: milliseconds, and how they compare with no hooks."""
    heads = [
        "git commit with",
        "files",
        "hit",
        "ms",
        "min",
        "max",
        "added",
        "ratio",
        "cpu",
        "added",
        "git",
        "processes",
    ]
    lines = []
    for place in found:
        walls = [1000 * spent.wall for spent in place.runs]
        ratio = f"{place.median() / place.none.median():.2f}x" if place.none else ""
        added, more_cpu = (f"{place.added(m):.1f}" if place.none else "" for m in ("wall", "cpu"))
        figures = [f"{figure:.1f}" for figure in (place.median(), min(walls), max(walls))]
        figures += [added, ratio, f"{place.median('cpu'):.1f}", more_cpu]
        tail = ["" if number is None else str(number) for number in counts[id(place)]]
        lines.append([place.name, str(place.files), "yes" if place.hit else "", *figures, *tail])
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    for line in [heads, *lines]:
        cells = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        print("  ".join(cells).rstrip())


def judge(found: Sequence[Place]) -> None:
    """Say which aims are met. br3 is held to them by its slowest."""
    br3 = [place for place in found if place.name.startswith("br3")]
    without = max(place.added() for place in br3 if not place.hit)
    with_hit = max(place.added() for place in br3 if place.hit)
    other = {place.name: place.added() for place in found}
    plain = next(place.added() for place in br3 if not place.hit and place.files == FEW)
    aims = [
        (f"adds {without:.1f} ms without a hit, aim {AIM_WITHOUT:.0f}", without <= AIM_WITHOUT),
        (f"adds {with_hit:.1f} ms with a hit, aim {AIM_WITH:.0f}", with_hit <= AIM_WITH),
        (f"adds {plain:.1f} ms to one file, prek {other['prek']:.1f}", plain < other["prek"]),
        (f"adds {plain:.1f} ms to one file, lefthook {other['lefthook']:.1f}", plain < other["lefthook"]),
        (
            f"adds {plain:.1f} ms to one file, a tenth of pre-commit is {AIM_SHARE * other['pre-commit']:.1f}",
            plain <= AIM_SHARE * other["pre-commit"],
        ),
    ]
    for text, met in aims:
        print(f"{'met' if met else 'NOT met'}: br3 {text}")


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=30)
    parser.add_argument("--git", metavar="DIRECTORY", type=Path, help="take the git of this directory")
    options = parser.parse_args()
    with scratch() as place:
        if options.git:
            place.env["PATH"] = os.pathsep.join([str(options.git.resolve()), place.env["PATH"]])
        place.env.update({"PRE_COMMIT_HOME": str(place.path / "pre-commit"), "PREK_HOME": str(place.path / "prek")})
        found = places(place)
        version = place.git(place.path, "--version")
        note(f"warming up, then {options.runs} rounds of {len(found)} commits")
        for number in range(options.runs + 1):
            for where in found:
                where.change(place, number)
                spent = place.run(commit(number), where.path)
                if number:
                    where.runs.append(spent)
        counts = {id(where): processes(place, where) for where in found}
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {version}, medians of {options.runs}")
    show(found, counts)
    print()
    judge(found)


if __name__ == "__main__":
    main(bench)
