"""Fixtures of several modules here."""

from tests.integration.hooking import chosen_git, ground, spot, templates
from tests.integration.journals import empty_file, made_once
from tests.integration.keeping import kept_place, kept_repo

__all__ = ["chosen_git", "empty_file", "ground", "kept_place", "kept_repo", "made_once", "spot", "templates"]
