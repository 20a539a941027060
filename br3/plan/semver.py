"""What a version looks like by SemVer 2.0.0."""

from __future__ import annotations

_NUMBER = r"(0|[1-9][0-9]*)"
_LABEL = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
# https://semver.org, "Is there a suggested regular expression"
SEMVER = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
"""A version as a regular expression with five groups: the three numbers, the prerelease, the build metadata."""
