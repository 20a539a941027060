"""What the program ends with, and how it shows what is not its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from br3.cli.output import tame
from br3.wording import paid

INTERRUPTED_JUST_BEFORE = """
import sys
leave = sys.exit
def exit(code=None):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass
    leave(code)
sys.exit = exit
"""


def test_an_interrupt_that_was_caught_is_not_what_it_ends_with(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_JUST_BEFORE)
    (tmp_path / "bare.py").write_text("import sys\nsys.exit(0)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    codes = [
        subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, env=env, capture_output=True, check=False
        ).returncode
        for words in (["bare"], ["br3", "--version"], ["br3", "no-such-command"])
    ]
    assert codes == [-signal.SIGINT, 0, 2], "Python's own way is the first one"


def test_what_others_wrote_keeps_its_colours_and_conceals_nothing() -> None:
    assert tame("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jx") == "\x1b[31mred\x1b[0m x\x1b[0m"
    assert [tame(f"a\x1b[{code}mb") for code in ("8", "1;8", "08;31")] == ["ab"] * 3
    assert tame("\x1b[38;5;1mb") == "\x1b[38;5;1mb\x1b[0m"


def test_what_is_paid_is_never_shown_as_nothing() -> None:
    costs = [("1.25", "1.25"), (None, "1.25"), ("0.004", "0.004"), ("0", "0"), (None, "0"), (None, None)]
    shown = [paid(*(None if one is None else Decimal(one) for one in pair)) for pair in costs]
    assert shown == ["1.25 USD", "≥ 1.25 USD", "0.0040 USD", "0.00 USD", "–", "–"]
