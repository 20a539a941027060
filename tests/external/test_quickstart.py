"""docs/QUICKSTART.md by copy and paste, the installation included: an empty HOME, a checkout, the network for pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.consoles import steps
from tests.pages import DOCS, ROOT, fences, read

OWN = "## Your own repository"
"""From here on the page needs an agent."""


def typed() -> str:
    """All that the page says to type, up to the chapter of one's own repository."""
    lines = []
    for block in fences(read(DOCS / "QUICKSTART.md").partition(OWN)[0]):
        lines += [block.text] if block.info[0] == "sh" else [f"{step.typed}\n" for step in steps(block)]
    return "".join(lines)


def test_it_works_as_printed(tmp_path: Path) -> None:
    home, checkout = tmp_path / "home", tmp_path / "br3"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = {"HOME": str(home), "PATH": f"{sys.base_prefix}/bin:{os.defpath}", "LANG": "C.UTF-8", **kept}
    command = ["bash", "-e", "-c", typed()]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Hello you … Goodbye you\n")
    tags = subprocess.run(["git", "tag"], cwd=home / "hello", capture_output=True, text=True, check=True)
    assert tags.stdout == "v0.1.0\n"
