"""The build backend of fraiseql-subscriptions (PEP 517, PEP 660), with the standard library alone.

A wheel holds three shared libraries besides the Python code: libfraiseql.so, which `go build -buildmode=c-shared` makes
of cmd/libfraiseql; libfraiseql-memory.so, the same without clients of buses outside of the process and without what
serves clients, which loads faster and is all that an executor by itself needs; and the module fraiseql._native, which the C compiler makes of csrc against the
limited API, so that one wheel serves every Python from 3.10 on. Nothing is downloaded except Go modules that are not in the module
cache; a source distribution brings those along.

Environment: CC the C compiler, CFLAGS and LDFLAGS more of its flags, GO the Go command, SOURCE_DATE_EPOCH the time
that the archives carry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from build_backend import sdist, wheel
from build_backend.failure import BuildError

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_HERE = Path(__file__).resolve().parent.parent


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    """Builds the wheel and returns its file name."""
    return _told(lambda: wheel.build(_HERE, Path(wheel_directory)))


def build_editable(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    """Builds the shared libraries beside the source, and a wheel that points there."""
    return _told(lambda: wheel.build_editable(_HERE, Path(wheel_directory)))


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    """Builds the source distribution, Go modules included, and returns its file name."""
    return _told(lambda: sdist.build(_HERE, Path(sdist_directory)))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Writes the .dist-info folder without compiling anything and returns its name."""
    return _told(lambda: wheel.write_metadata(_HERE, Path(metadata_directory)))


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    """Nothing has to be installed to build."""
    return []


get_requires_for_build_editable = get_requires_for_build_wheel
get_requires_for_build_sdist = get_requires_for_build_wheel


def _told(build: Callable[[], str]) -> str:
    """Ends the frontend's process with the reason alone, for a traceback would hide it."""
    try:
        return build()
    except BuildError as error:
        sys.stdout.flush()
        raise SystemExit(f"\nfraiseql-subscriptions cannot be built: {error}\n") from None
