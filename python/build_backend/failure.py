"""Why a build cannot go on, in words for whoever started it."""

from __future__ import annotations


class BuildError(Exception):
    """Something outside is missing or unfit. The text says what to do about it."""
