"""What importing each dependency costs beside Python itself.

    python tests/bench/imports.py [-n RUNS]

Runs `python -c "import X"` for every package that pyproject.toml names, and `python -c pass`, in turn, RUNS times each,
after one round that is not counted.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from measuring import Row, arguments, main, note, scratch, show

MODULES = {
    "gitpython": "git",
    "markdown-it-py": "markdown_it",
    "python-dotenv": "dotenv",
    "pyyaml": "yaml",
}
"""What is imported, where it has another name than the package."""


def dependencies() -> list[str]:
    """The packages that br3 needs, by name."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    return [re.split(r"[<>=~! ]", wanted)[0] for wanted in project["dependencies"]]


def bench() -> None:
    """See the module."""
    options = arguments(__doc__, runs=10).parse_args()
    python = Row("python -c pass")
    rows = [python, *(Row(f"import {MODULES.get(name, name)}", beside=python) for name in dependencies())]
    with scratch() as place:
        note(f"{options.runs} rounds of {len(rows)} imports")
        for number in range(options.runs + 1):
            for row in rows:
                words = "pass" if row is python else row.name
                spent = place.run([sys.executable, "-c", words], place.path)
                if number:  # the first compiles what is not compiled yet
                    row.runs.append(spent)
    show(rows, digits=3)


if __name__ == "__main__":
    main(bench)
