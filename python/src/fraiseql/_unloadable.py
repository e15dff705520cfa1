"""Says why the native module cannot be imported: read by nobody whose import works."""

from __future__ import annotations

import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

__all__ = ["reason"]

_NAME = "_native.abi3.so"


def reason(error: ImportError) -> str:
    """Put what the interpreter said into words that say what to do.

    Args:
        error: What importing the module raised.

    Returns:
        The text of another error.
    """
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return (
            "fraiseql does not run on free-threaded Python, which loads no module of the stable ABI: use the ordinary "
            "build of the same version"
        )
    path = Path(__file__).with_name(_NAME)
    if not path.exists():
        return f"{path} is not there: these are sources that were not built. Install them: pip install ./python"
    if not any(_NAME.endswith(suffix) for suffix in EXTENSION_SUFFIXES):
        return f"this interpreter loads no {_NAME}: fraiseql needs CPython 3.10 or later on Linux"
    return f"{path} cannot be loaded: {error}"
