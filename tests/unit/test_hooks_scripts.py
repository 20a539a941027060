"""What the scripts of the hooks must have in common with the Python beside them."""

from __future__ import annotations

import re
import shlex

from br3.guard.patches import OPTIONS
from br3.hooks import places

# How the patch is laid out for a program; grep does not care.
LAYOUT = {"--raw", "-z", "--no-abbrev", "--full-index"}


def test_the_prefilter_reads_the_diff_that_the_guard_reads() -> None:
    script = (places.scripts() / "guard.sh").read_text()
    found = re.search(r"git diff --cached (-p .*?) \|\|", script, re.DOTALL)
    assert found is not None
    assert set(shlex.split(found[1].replace("\\\n", " "))) == set(OPTIONS) - LAYOUT


def test_every_hook_has_its_script() -> None:
    assert {path.name for path in places.scripts().iterdir() if path.is_file()} == {*places.ALL, *places.SHARED}
