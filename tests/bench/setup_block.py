"""Set-up: four worktrees, each with a Python environment of its own, through br3 and the plain way.

    python tests/bench/setup_block.py [-n RUNS] [--sdist FILE | --repo DIR] [--module NAME] [--script NAME]

The project is sqlite-utils, as its source distribution has it (fetched with `pip download`, or FILE), or a clone of
the repository DIR. Needs git, pip, uv, and the package index or a mirror of it. In turn, each time in a fresh clone:

  plain       for each of four trees, one after another: `git worktree add`, `python3 -m venv .venv`,
              `.venv/bin/pip install -e .`
  br3, first  `br3 up --trust` of four builds with [setup] run = ["uv venv", "uv pip install -e ."]
  br3, again  the same in the same clone, once all four were given up (`br3 clean --force`, not measured): an equal
              environment was made before

Downloads are in the caches of pip and uv already: an uncounted round of all three fills them. After every round each
environment must work: the module comes from that very worktree, the script runs. The aims for br3 are 0.1 times the
plain way the first time, 0.05 times again.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from measuring import BR3, Failed, Row, Scratch, Spent, arguments, main, note, scratch, show

BUILDS = ("one", "two", "three", "four")

PLAN = """\
[plan]
name = "bench"

[setup]
run = ["uv venv", "uv pip install -e ."]
""" + "".join(
    f"""
[[build]]
id = "{build}"
agent = "shell"
command = "echo {build} > {build}.txt"
owns = ["{build}.txt"]
prompt = "Write {build}.txt."
[build.verify]
run = ["test -s {build}.txt"]
"""
    for build in BUILDS
)

PLAIN = f"""\
set -e
for build in {" ".join(BUILDS)}; do
    git worktree add --quiet -b "build/$build" "../repo.worktrees/$build" main
    (cd "../repo.worktrees/$build" && python3 -m venv .venv && .venv/bin/pip install -e .)
done
"""


def project(place: Scratch, sdist: Path | None, repo: Path | None) -> Path:
    """The repository that all rounds clone: the project with br3.toml committed on main."""
    origin = place.path / "origin"
    if repo is not None:
        place.git(place.path, "clone", "--quiet", str(repo.resolve()), str(origin))
        place.git(origin, "switch", "--quiet", "--force-create", "main")
    else:
        if sdist is None:
            note("fetching the source distribution of sqlite-utils")
            download = ["pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "sqlite-utils"]
            place.read(download, place.path)
            sdist = next(place.path.glob("sqlite_utils-*.tar.gz"))
        try:
            with tarfile.open(sdist) as archive:
                archive.extractall(place.path / "unpacked", filter="data")
        except (OSError, tarfile.TarError) as error:
            raise Failed(f"{sdist} cannot be unpacked: {error}") from error
        next((place.path / "unpacked").iterdir()).rename(origin)
        for made in origin.glob("*.egg-info"):
            shutil.rmtree(made)  # of the distribution, not of the repository that it was made from
    (origin / "br3.toml").write_text(PLAN)
    with (origin / ".gitignore").open("a") as ignored:
        ignored.write("\n.venv/\n*.egg-info/\n__pycache__/\n")
    place.commit_all(origin, "Begin")
    return origin


class Rounds:
    """The three ways, each in a clone of its own, with every environment tried out."""

    def __init__(self, place: Scratch, origin: Path, module: str, script: str) -> None:
        self.place = place
        self.origin = origin
        self.module = module
        self.script = script
        self.count = 0

    def clone(self) -> Path:
        """A fresh clone; nothing of an earlier one is left."""
        if self.count:
            shutil.rmtree(self.place.path / f"round-{self.count}")
        self.count += 1
        path = self.place.path / f"round-{self.count}" / "repo"
        self.place.git(self.place.path, "clone", "--quiet", str(self.origin), str(path))
        return path

    def plain(self) -> Spent:
        """git, venv and pip."""
        path = self.clone()
        spent = self.place.run(["sh", "-c", PLAIN], path)
        self.try_out(path)
        return spent

    def br3(self) -> tuple[Spent, Spent]:
        """br3 with nothing kept, then with what that left behind."""
        path = self.clone()
        first = self.place.run([BR3, "up", "--trust"], path)
        self.try_out(path)
        self.place.run([BR3, "clean", "--force", *BUILDS], path)
        if any((path.parent / "repo.worktrees" / build).exists() for build in BUILDS):
            raise Failed("br3 clean --force left worktrees behind")
        again = self.place.run([BR3, "up", "--trust"], path)
        self.try_out(path)
        return first, again

    def try_out(self, path: Path) -> None:
        """Failed unless each worktree's environment imports the project from that worktree and runs its script."""
        for build in BUILDS:
            worktree = path.parent / "repo.worktrees" / build
            python, script = str(worktree / ".venv/bin/python"), str(worktree / ".venv/bin" / self.script)
            # -P, and from elsewhere: the module must be found by way of the environment, not of the directory.
            where = self.place.read(
                [python, "-P", "-c", f"import {self.module}; print({self.module}.__file__)"], self.place.path
            )
            if not Path(where).resolve().is_relative_to(worktree):
                raise Failed(f"in {worktree}, {self.module} comes from {where}")
            self.place.read([script, "--version"], self.place.path)
            dirty = self.place.git(worktree, "status", "--porcelain")
            if dirty:
                raise Failed(f"{worktree} is not clean:\n{dirty}")


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=3)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--sdist", type=Path, help="a source distribution (.tar.gz) that is here already")
    source.add_argument("--repo", type=Path, help="a git repository to clone instead")
    parser.add_argument("--module", default="sqlite_utils", help="what to import (default: sqlite_utils)")
    parser.add_argument("--script", default="sqlite-utils", help="what to run (default: sqlite-utils)")
    options = parser.parse_args()
    plain = Row("plain")
    first, again = Row("br3, first", beside=plain), Row("br3, again", beside=plain)
    with scratch() as place:
        for tool in ("uv", "pip"):
            if shutil.which(tool, path=place.env["PATH"]) is None:
                raise Failed(f"{tool} is not on PATH")
        rounds = Rounds(place, project(place, options.sdist, options.repo), options.module, options.script)
        note("filling the download caches (not counted)")
        rounds.plain()
        rounds.br3()
        for number in range(options.runs):
            note(f"round {number + 1} of {options.runs}")
            plain.runs.append(rounds.plain())
            spent_first, spent_again = rounds.br3()
            first.runs.append(spent_first)
            again.runs.append(spent_again)
    show([first, again, plain])


if __name__ == "__main__":
    main(bench)
