"""The request that opened a WebSocket, where no web framework has one of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["Headers", "Request"]


class Headers(Mapping[str, str]):
    """Headers of a request: names are compared without case, several values of one name are joined by `, `."""

    __slots__ = ("_items",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep headers.

        Args:
            pairs: Names and values.
        """
        self._items: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            join = "; " if key == "cookie" else ", "
            self._items[key] = self._items[key] + join + value if key in self._items else value

    def __getitem__(self, name: str) -> str:
        """Return a header's value."""
        return self._items[name.lower()]

    def __contains__(self, name: object) -> bool:
        """Report whether the request has a header."""
        return isinstance(name, str) and name.lower() in self._items

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in lower case."""
        return iter(self._items)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._items)

    def __repr__(self) -> str:
        """Show the names alone: values may be credentials."""
        return f"Headers({', '.join(self._items)})"


class Request:
    """The request that opened a WebSocket, as an `auth_handler` gets it.

    Attributes:
        headers: Its headers, by names without case.
        client: Address and port of the peer, or None.
        path: Its path.
        query_params: Parameters of the URL, the last value of each.
        scope: The ASGI scope, where there is one, else an empty dict.
    """

    __slots__ = ("client", "headers", "path", "query_params", "scope")

    headers: Headers
    client: tuple[str, int] | None
    path: str
    query_params: dict[str, str]
    scope: dict[str, Any]

    def __init__(
        self,
        headers: Iterable[tuple[str, str]] = (),
        client: tuple[str, int] | None = None,
        path: str = "/",
        query_string: str = "",
        scope: dict[str, Any] | None = None,
    ) -> None:
        """Make a request.

        Args:
            headers: Names and values.
            client: Address and port of the peer.
            path: Its path.
            query_string: What stands behind the `?`.
            scope: The ASGI scope.
        """
        self.headers = Headers(headers)
        self.client = client
        self.path = path
        self.query_params = dict(parse_qsl(query_string, keep_blank_values=True))
        self.scope = {} if scope is None else scope

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name; the first of several with one name."""
        out: dict[str, str] = {}
        for part in self.headers.get("cookie", "").split(";"):
            name, equals, value = part.partition("=")
            if equals:
                out.setdefault(name.strip(), value.strip().strip('"'))
        return out

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> Request:
        """Read an ASGI scope.

        Args:
            scope: Of type websocket or http.

        Returns:
            The request.
        """
        client = scope.get("client")
        return cls(
            [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope.get("headers", ())],
            (str(client[0]), int(client[1] or 0)) if client else None,
            str(scope.get("path", "/")),
            bytes(scope.get("query_string") or b"").decode("latin-1"),
            dict(scope),
        )

    @classmethod
    def from_json(cls, text: bytes | None) -> Request:
        """Read what the engine's own server knows about a request.

        Args:
            text: JSON object with `headers`, `path`, `query` and `remote_addr`.

        Returns:
            The request.
        """
        known = json.loads(text) if text else {}
        return cls(
            [(str(name), str(value)) for name, value in known.get("headers", ())],
            _address(str(known.get("remote_addr", ""))),
            str(known.get("path", "/")),
            str(known.get("query", "")),
        )

    def __repr__(self) -> str:
        """Show where it came from and went to; headers and parameters may hold credentials."""
        return f"Request(path={self.path!r}, client={self.client!r})"


def _address(text: str) -> tuple[str, int] | None:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        return None
    return host.strip("[]"), int(port)
