"""Another schema for an engine that runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fraiseql.subscriptions.operations import aside
from fraiseql.subscriptions.settings import read_schema

if TYPE_CHECKING:
    import os

    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["SchemaSetter", "document"]


def document(schema: str | os.PathLike[str]) -> bytes:
    """Read a schema that takes the place of another.

    Args:
        schema: See `SubscriptionExecutor`.

    Returns:
        A JSON object for the engine.

    Raises:
        TypeError: There is none.
        ValueError: There is nothing to read at that path, or the text is empty.
    """
    sources = read_schema(schema)
    if sources is None:
        raise TypeError("schema is SDL text or a path, not None")
    return json.dumps({"schema": sources}).encode()


class SchemaSetter:
    """What can put another schema in force: the part of a manager that does."""

    if TYPE_CHECKING:

        @property
        def executor(self) -> SubscriptionExecutor:
            """The engine."""

    async def set_schema(self, schema: str | os.PathLike[str]) -> tuple[int, int]:
        """Put another schema in the place of the one in force; see `SubscriptionExecutor.set_schema`.

        Args:
            schema: As the constructor takes it.

        Returns:
            How many live subscriptions went on, and how many ended.

        Raises:
            TypeError: It is neither text nor a path.
            ValueError: The schema has errors, or the manager was made without one.
        """
        # It compiles every document that is subscribed to.
        executor = self.executor
        return await aside(lambda: executor.set_schema(schema))
