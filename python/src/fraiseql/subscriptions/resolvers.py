"""What a resolver takes and whether it is a coroutine function."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["failed", "is_async", "signature_of"]

_log = logging.getLogger("fraiseql")

_MOST = 3
_OPTIONAL = {2: "variables", 3: "context"}


def is_async(fn: Callable[..., Any]) -> bool:
    """Report whether calling something makes a coroutine, as far as can be seen from outside.

    Args:
        fn: A function, a partial of one or an object with `__call__`.

    Returns:
        True for coroutine functions.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004 - the method is what may be a coroutine function
    )


def signature_of(fn: Callable[..., Any]) -> tuple[int, bool]:
    """Look at a resolver.

    A parameter with a default counts when it is the second and called `variables`, or the third and called
    `context`; `*args` gets event and variables.

    Args:
        fn: The resolver.

    Returns:
        How many values it takes, 1 to 3, and whether it is a coroutine function.

    Raises:
        TypeError: It cannot be called with one to three values.
    """
    if not callable(fn):
        raise TypeError(f"a resolver is a function, not {type(fn).__name__}")
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return 1, is_async(fn)
    count, rest = 0, False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            required = parameter.default is parameter.empty
            if required or _OPTIONAL.get(count + 1) == parameter.name or count == 0:
                count += 1
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise TypeError(f"resolver {_name(fn)}: {parameter.name} is a keyword, and resolvers are called with values in order")
    if rest:
        count = max(count, 2)
    if not 1 <= count <= _MOST:
        raise TypeError(
            f"resolver {_name(fn)} takes {count} values, not one to three: (event), (event, variables) or "
            "(event, variables, context)"
        )
    return count, is_async(fn)


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))


def failed(name: str, error: BaseException) -> None:
    """Log what a resolver raised; clients see a masked error.

    Args:
        name: The resolver.
        error: What it raised.
    """
    _log.error("resolver %s failed", name, exc_info=error)
