"""The shapes of graphql-transport-ws messages that applications handle themselves."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["GraphQLMessage", "SubscriptionPayload", "cursor_of"]


def cursor_of(message: bytes) -> str | None:
    """Return where a subscription stands after a message.

    Args:
        message: A message of a subscription that was registered with `resume`.

    Returns:
        The cursor, for `resume` of a later subscription; None for a message without one.
    """
    import json

    payload = json.loads(message).get("payload")
    extensions = payload.get("extensions") if isinstance(payload, dict) else None
    return extensions.get("cursor") if isinstance(extensions, dict) else None


class SubscriptionPayload:
    """The payload of a `subscribe` message: what a client asks for.

    Attributes:
        query: The document.
        operation_name: Which of its operations, or None when it has only one.
        variables: Values by the names of the variables.
        extensions: Members for the server beside the standard's, or None.
    """

    __slots__ = ("extensions", "operation_name", "query", "variables")

    query: str
    operation_name: str | None
    variables: dict[str, Any]
    extensions: dict[str, Any] | None

    def __init__(
        self,
        query: str,
        operation_name: str | None = None,
        variables: dict[str, Any] | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        """Make a payload.

        Args:
            query: The document.
            operation_name: Which of its operations.
            variables: Values by name; None means none.
            extensions: Members for the server.
        """
        self.query = query
        self.operation_name = operation_name
        self.variables = {} if variables is None else variables
        self.extensions = extensions

    def __eq__(self, other: object) -> bool:
        """Compare by members."""
        if not isinstance(other, SubscriptionPayload):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the members."""
        return (
            f"SubscriptionPayload(query={self.query!r}, operation_name={self.operation_name!r}, "
            f"variables={self.variables!r}, extensions={self.extensions!r})"
        )


class GraphQLMessage:
    """One message of graphql-transport-ws.

    Attributes:
        type_: Its type, for example `connection_init`.
        id: The operation that it belongs to, or None.
        payload: What it carries: an object, for `error` a list of objects, or None.
    """

    __slots__ = ("id", "payload", "type_")

    type_: str
    id: str | None
    payload: Any

    def __init__(self, type_: str = "", id: str | None = None, payload: Any = None) -> None:
        """Make a message.

        Args:
            type_: Its type.
            id: The operation that it belongs to.
            payload: What it carries.
        """
        self.type_ = type_
        self.id = id
        self.payload = payload

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GraphQLMessage:
        """Read a decoded JSON message.

        Args:
            data: The message as a dict.

        Returns:
            The message. Members that the protocol does not know are ignored.

        Raises:
            ValueError: A member is missing or has the wrong type; the text names it.
        """
        if not hasattr(data, "keys"):
            raise ValueError(f"a message is an object, not {type(data).__name__}")
        type_ = data.get("type")
        if type_ is None:
            raise ValueError("message: member 'type' is missing")
        if not isinstance(type_, str):
            raise ValueError(f"message: member 'type' is a string, not {type(type_).__name__}")
        if not type_:
            raise ValueError("message: member 'type' is empty")
        id_ = data.get("id")
        if id_ is not None and not isinstance(id_, str):
            raise ValueError(f"message: member 'id' is a string, not {type(id_).__name__}")
        payload = data.get("payload")
        if payload is not None and not isinstance(payload, (dict, list)):
            kind = type(payload).__name__
            raise ValueError(f"message: member 'payload' is an object or a list, not {kind}")
        return cls(type_, id_, payload)

    def to_dict(self) -> dict[str, Any]:
        """Return the message as JSON has it.

        Returns:
            A dict with `type`, and `id` and `payload` where they are not None.
        """
        out: dict[str, Any] = {"type": self.type_}
        if self.id is not None:
            out["id"] = self.id
        if self.payload is not None:
            out["payload"] = self.payload
        return out

    def __eq__(self, other: object) -> bool:
        """Compare by members."""
        if not isinstance(other, GraphQLMessage):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the members."""
        return f"GraphQLMessage(type_={self.type_!r}, id={self.id!r}, payload={self.payload!r})"
