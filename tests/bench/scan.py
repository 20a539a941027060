"""Scanning a tree: `br3 scan --all` on 5,000 files beside detect-secrets, and gitleaks where it is installed.

    python tests/bench/scan.py [-n RUNS] [--files N] [--slow-runs N]

Makes a repository of N files of 1 to 30 KB, pieces of Python's own library chosen by a seed, one in fifty with a
secret, and runs the tools in turn. detect-secrets takes minutes, so it has fewer runs. The aims: a quarter
of gitleaks' time, a fiftieth of detect-secrets'.
"""

from __future__ import annotations

import random
import shutil
import string
import sysconfig
from pathlib import Path
from secrets import installed  # type: ignore[attr-defined]  # the bench beside this one

from measuring import BR3, Row, Scratch, Spent, arguments, main, note, scratch, show


def make(directory: Path, number: int) -> int:
    """Write the files; their size together in bytes."""
    r = random.Random(4)
    library = Path(sysconfig.get_path("stdlib"))
    lines = [line for path in sorted(library.glob("*.py")) for line in path.read_text().splitlines(keepends=True)]
    total = 0
    for count in range(number):
        first = r.randrange(len(lines))
        text = "".join(lines[first : first + r.randint(25, 750)])
        if count % 50 == 0:
            text += "TOKEN = 'ghp_" + "".join(r.choices(string.ascii_letters + string.digits, k=36)) + "'\n"
        path = directory / f"package{count % 100}" / f"module{count}.{r.choice(['py', 'ts', 'md', 'yaml', 'go'])}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        total += len(text.encode())
    return total


def bench() -> None:
    """See the module."""
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--files", type=int, default=5000, help="how many files (default: 5000)")
    parser.add_argument("--slow-runs", type=int, default=1, help="rounds of detect-secrets (default: 1)")
    options = parser.parse_args()
    rows = [Row("br3 scan --all")]
    with scratch() as place:
        directory = place.path / "tree"
        size = make(directory, options.files)
        place.commit_all(directory, "the tree")
        commands = {"br3 scan --all": [BR3, "scan", "--all", "--json"]}
        if shutil.which("gitleaks"):
            words = ["gitleaks", "detect", "--no-git", "--no-banner", "--source", "."]
            commands["gitleaks"] = [*words, "--report-format", "json", "--report-path", str(place.path / "report")]
            rows.append(Row("gitleaks"))
        else:
            note("gitleaks is not on PATH: left out")
        note(f"{options.runs} rounds of {', '.join(commands)} on {options.files} files, {size / 1e6:.0f} MB")
        for _ in range(options.runs):
            for row in rows:
                row.runs.append(_run(place, commands[row.name], directory))
        if options.slow_runs:
            slow = Row("detect-secrets", beside=rows[0])
            command = [str(installed(place)), "scan", "--all-files", "."]
            note(f"{options.slow_runs} rounds of detect-secrets; this takes minutes")
            slow.runs += [place.run(command, directory) for _ in range(options.slow_runs)]
            rows.append(slow)
    for row in rows[1:]:
        row.beside = rows[0]
    show(rows)


def _run(place: Scratch, command: list[str], cwd: Path) -> Spent:
    """Run a scan; findings are exit code 1."""
    return place.run(["sh", "-c", '"$@" || test $? -eq 1', "sh", *command], cwd)


if __name__ == "__main__":
    main(bench)
