"""Fixtures of several modules here."""

from tests.integration.hooking import chosen_git, ground, spot, templates

__all__ = ["chosen_git", "ground", "spot", "templates"]
