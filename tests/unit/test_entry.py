"""What ``python -m br3`` ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

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
