"""Where hooks and what belongs to them lie."""

from __future__ import annotations

from pathlib import Path

GUARDING = ("pre-commit", "prepare-commit-msg", "pre-merge-commit", "pre-rebase", "pre-push")
"""Hooks that stop what they cannot look at."""

TELLING = ("commit-msg", "post-commit", "post-checkout", "post-merge", "post-rewrite")
OPT_IN = "reference-transaction"
SHARED = ("common.sh", "guard.sh")
"""What scripts source."""

HOOKS = (*GUARDING, *TELLING)
ALL = (*HOOKS, OPT_IN)


def home(common_dir: Path) -> Path:
    """Everything that hooks of this repository read."""
    return common_dir / "br3" / "hooks"


def manifest(common_dir: Path) -> Path:
    """What was installed, and what was there before."""
    return home(common_dir) / "manifest.json"


def is_installed(common_dir: Path) -> bool:
    """Whether hooks were installed in this repository and not taken out."""
    return manifest(common_dir).exists()


def scripts() -> Path:
    """The scripts as they come with br3: inside the installed package, or in the top-level directory of a checkout."""
    packed = Path(__file__).parent / "scripts"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "hooks"


def check() -> Path:
    """The guard's entry for hooks."""
    return Path(__file__).parents[1] / "guard" / "start.py"


def entry() -> Path:
    """The entry of the slower halves."""
    return Path(__file__).parent / "entry.py"
