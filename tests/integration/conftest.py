"""Fixtures of several modules here."""

from tests.integration.hooking import chosen_git, ground, spot, templates
from tests.integration.keeping import kept_place, kept_repo

__all__ = ["chosen_git", "ground", "kept_place", "kept_repo", "spot", "templates"]
