"""The arguments of executors and managers, checked and written as the engine's configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from fraiseql.subscriptions.config import EventBusConfig

__all__ = [
    "LIMITS",
    "LONGEST_WINDOW",
    "PRODUCTION_LIMITS",
    "SECURITY",
    "engine_document",
    "flag",
    "read_schema",
    "seconds",
    "table",
    "unknown",
    "window_seconds",
]

Value = TypeVar("Value")

SECURITY: dict[str, tuple[str, ...] | None] = {
    "isolation": ("strict", "addressed"),
    "row_filter": ("none", "tenant", "user", "both"),
    "scope": None,
}
"""Keys of `security`, with the values that a key may have."""

LIMITS: tuple[str, ...] = (
    "connect_rate",
    "connection_queue_bytes",
    "connections_per_ip",
    "connections_per_tenant",
    "connections_per_user",
    "document_aliases",
    "document_bytes",
    "document_depth",
    "document_fields",
    "document_tokens",
    "event_bytes",
    "event_depth",
    "fields_per_user",
    "groups_per_channel",
    "groups_per_tenant",
    "memory_bytes",
    "plan_cache_bytes",
    "publish_burst",
    "publish_rate",
    "queue_bytes",
    "queue_messages",
    "resolver_lane",
    "resolver_timeout",
    "resume_events",
    "subscribe_burst",
    "subscribe_rate",
    "subscriptions_per_connection",
    "subscriptions_per_tenant",
    "subscriptions_per_user",
)
"""Keys of `limits`. All are whole numbers; the timeout, in seconds, may have a fraction."""

_FRACTIONS = frozenset({"resolver_timeout"})

PRODUCTION_LIMITS: dict[str, int | float] = {
    "connect_rate": 2000,
    "connections_per_ip": 1000,
    "connections_per_tenant": 25_000,
    "connections_per_user": 100,
    "subscriptions_per_connection": 100,
}
"""What a manager bounds unless `limits` says otherwise: it serves clients that nobody has chosen."""


LONGEST_WINDOW = 600
"""Seconds over which closes are spread at most. The engine refuses more."""

_EXAMPLES = {"limits": '{"queue_messages": 100}', "security": '{"isolation": "strict"}'}


def unknown(key: str, allowed: Iterable[str]) -> str:
    """Say that a key is none of those that there are.

    Args:
        key: The key.
        allowed: Those that there are.

    Returns:
        The text, with the key that may have been meant.
    """
    import difflib

    listed = tuple(allowed)
    near = difflib.get_close_matches(key, listed, 1)
    hint = f"did you mean {near[0]!r}? Allowed are" if near else "allowed are"
    return f"unknown key {key!r}; {hint} {', '.join(listed)}"


def _unknown(what: str, key: object, allowed: Iterable[str]) -> ValueError:
    return ValueError(f"{what}: {unknown(key if isinstance(key, str) else repr(key), allowed)}")


def table(name: str, value: Mapping[str, Value] | None) -> dict[str, Value]:
    """Check that an argument is a dict.

    Args:
        name: The argument, `limits` or `security`.
        value: Its value.

    Returns:
        A copy, empty for None.

    Raises:
        TypeError: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a dict such as {_EXAMPLES[name]}, not {type(value).__name__}")
    return dict(value)


def check_limits(limits: Mapping[str, int | float] | None) -> dict[str, int | float]:
    """Check `limits`.

    Args:
        limits: The argument.

    Returns:
        A copy.

    Raises:
        TypeError: It is no dict.
        ValueError: A key is unknown, or a value cannot be right.
    """
    out: dict[str, int | float] = {}
    for key, value in table("limits", limits).items():
        if key not in LIMITS:
            raise _unknown("limits", key, LIMITS)
        fraction = key in _FRACTIONS
        kinds: tuple[type, ...] = (int, float) if fraction else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = "a number" if fraction else "a whole number"
            raise ValueError(f"limits: {key} is {wanted}, not {value!r}")
        if not 0 <= value <= 2**53:
            raise ValueError(f"limits: {key} is {value!r}, it must not be negative or endless")
        out[key] = value
    return out


def check_security(security: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check `security`.

    Args:
        security: The argument.

    Returns:
        A copy.

    Raises:
        TypeError: It is no dict.
        ValueError: A key is unknown, or a value cannot be right.
    """
    out: dict[str, Any] = {}
    for key, value in table("security", security).items():
        if key not in SECURITY:
            raise _unknown("security", key, SECURITY)
        choices = SECURITY[key]
        if choices is not None and value not in choices:
            raise ValueError(f"security: {key} is one of {', '.join(choices)}, not {value!r}")
        out[key] = _scope(value) if key == "scope" else value
    return out


def _scope(value: object) -> dict[str, list[str]]:
    if not isinstance(value, Mapping):
        raise ValueError("security: scope has the keys user and tenant")
    out: dict[str, list[str]] = {}
    for key, names in value.items():
        if key not in ("user", "tenant"):
            raise _unknown("security: scope", key, ("user", "tenant"))
        listed = list(names) if isinstance(names, (list, tuple)) else None
        if not listed or not all(isinstance(name, str) and name for name in listed):
            raise ValueError(f"security: scope.{key} is a list of names of arguments")
        out[key] = listed
    return out


def seconds(name: str, value: Any) -> float:
    """Check a time.

    Args:
        name: The argument, for the text.
        value: Its value.

    Returns:
        The value.

    Raises:
        ValueError: It is not a number of seconds above 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**31:
        raise ValueError(f"{name} is a number of seconds above 0, not {value!r}")
    return float(value)


def window_seconds(value: Any) -> float:
    """Check over how many seconds closes are spread.

    Args:
        value: The argument `window`.

    Returns:
        The value.

    Raises:
        ValueError: It is not a number of seconds from 0 to 600.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST_WINDOW:
        raise ValueError(f"window is a number of seconds from 0 to {LONGEST_WINDOW}, not {value!r}")
    return float(value)


def read_schema(schema: str | os.PathLike[str] | None) -> list[dict[str, str]] | None:
    """Read `schema`.

    Args:
        schema: SDL text, or the path of a `.graphql` or `.graphqls` file, or of a directory that holds such files. A
            str is a path when it has neither braces nor line breaks and ends like such a file or is a directory.

    Returns:
        Name and text of each source; None for none.

    Raises:
        ValueError: There is nothing to read at that path, or the text is empty.
        OSError: It cannot be read.
    """
    if schema is None:
        return None
    if not isinstance(schema, (str, os.PathLike)):
        raise TypeError(f"schema is SDL text or a path, not {type(schema).__name__}")
    text = os.fspath(schema)
    if not isinstance(text, str):
        raise TypeError("schema is SDL text or a path, not bytes")
    if isinstance(schema, str) and not _is_path(text):
        if not text.strip():
            raise ValueError("schema: the text is empty; leave schema out to have none")
        if not any(c in text for c in '{}@#"\n\r \t'):  # one word is no SDL
            raise ValueError(f"schema: {text!r} is no SDL text, and no path: a file ends in .graphql or .graphqls")
        return [{"name": "schema", "text": text}]
    if not os.path.isdir(text):
        return [_source(text)]
    names = sorted(n for n in os.listdir(text) if n.endswith((".graphql", ".graphqls")))
    if not names:
        raise ValueError(f"schema: the directory {text} holds no .graphql or .graphqls file")
    return [_source(os.path.join(text, name)) for name in names]


def _is_path(text: str) -> bool:
    if any(c in text for c in "{}\n\r"):
        return False
    return text.endswith((".graphql", ".graphqls")) or os.path.isdir(text)


def _source(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return {"name": path, "text": file.read()}
    except FileNotFoundError:
        raise ValueError(f"schema: there is no file {path}") from None
    except UnicodeDecodeError:
        raise ValueError(f"schema: {path} is not UTF-8 text") from None


def flag(name: str, value: object) -> bool:
    """Check a bool: what is merely true, such as "false", would open what was to stay shut.

    Args:
        name: The argument.
        value: Its value.

    Returns:
        The value.

    Raises:
        TypeError: It is no bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be bool, not {type(value).__name__}")
    return value


def engine_document(
    config: EventBusConfig | None,
    schema: str | os.PathLike[str] | None,
    security: Mapping[str, Any] | None,
    limits: Mapping[str, int | float] | None,
    naming: str,
    introspection: bool,
) -> bytes:
    """Check all arguments and write the engine's configuration.

    Args:
        config: The bus; None is the memory bus.
        schema: See `read_schema`.
        security: See `SECURITY`.
        limits: See `LIMITS`.
        naming: `exact` or `snake_case`.
        introspection: Whether clients may read the schema.

    Returns:
        A JSON object.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument cannot be right.
    """
    if config is not None and not isinstance(config, EventBusConfig):
        kind = type(config).__name__
        raise TypeError(f"config is an EventBusConfig, for example EventBusConfig.memory(), not {kind}")
    if naming not in ("exact", "snake_case"):
        raise ValueError(f"naming is exact or snake_case, not {naming!r}")
    document: dict[str, Any] = {
        "schema": read_schema(schema),
        "bus": (config or EventBusConfig.memory())._document(),
        "security": check_security(security),
        "limits": check_limits(limits),
        "late_resolvers": True,
    }
    if naming == "snake_case":
        document["snake_case"] = True
    if flag("introspection", introspection):
        document["introspection"] = True
    return json.dumps(document).encode()
