"""Startup: what `br3 --help` costs beside `import click` and beside Python itself.

    python tests/bench/startup.py [-n RUNS]

Runs the installed `br3 --help`, `python -c "import click"` and `python -c pass` in turn, RUNS times each, after one
round that is not counted. The aim is at most 2.5 times `import click`, by CPU and by wall.
"""

from __future__ import annotations

import sys

from measuring import BR3, Row, arguments, main, note, scratch, show


def bench() -> None:
    """See the module."""
    options = arguments(__doc__, runs=30).parse_args()
    python = Row("python -c pass")
    click = Row("python -c 'import click'", beside=python)
    br3 = Row("br3 --help", beside=click)
    commands = {
        br3.name: [BR3, "--help"],
        click.name: [sys.executable, "-c", "import click"],
        python.name: [sys.executable, "-c", "pass"],
    }
    with scratch() as place:
        note(f"{options.runs} rounds of {', '.join(commands)}")
        for command in commands.values():
            place.run(command, place.path)  # compiles what is not compiled yet
        for _ in range(options.runs):
            for row in (br3, click, python):
                row.runs.append(place.run(commands[row.name], place.path))
    show([br3, click, python], digits=3)


if __name__ == "__main__":
    main(bench)
