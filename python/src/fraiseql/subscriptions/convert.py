"""Values that JSON does not know, as JSON: what the native walk over an event's data asks for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["default"]


def default(value: Any) -> Any:
    """Return a value that JSON knows in the place of one that it does not.

    `datetime`, `date` and `time` become ISO 8601 text, `UUID` its text, `Decimal` its exact decimal text, an `Enum`
    its value, a data class and a Pydantic model a dict, another mapping a dict.

    Args:
        value: What stands in the data.

    Returns:
        What takes its place; it is looked at again.

    Raises:
        TypeError: The type has no JSON form.
        ValueError: A Decimal that is not a number.
    """
    import dataclasses
    import datetime
    import decimal
    import enum
    import uuid
    from collections.abc import Mapping

    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not a number in JSON")
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, type):
        if dataclasses.is_dataclass(value):
            return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        dump = getattr(value, "model_dump", None)
        if callable(dump):
            return dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")
