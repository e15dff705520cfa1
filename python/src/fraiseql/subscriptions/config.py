"""Which bus carries the events."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from urllib.parse import SplitResult

__all__ = ["EventBusConfig"]


_SEVERAL = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


class EventBusConfig:
    """Which bus carries the events. Made by one of its class methods; immutable.

    `str()` and `repr()` never show a password.
    """

    __slots__ = ("_bus_type", "_consumer_group", "_url")

    _bus_type: str
    _url: str | None
    _consumer_group: str | None

    def __init__(self) -> None:
        """Refuse: the class methods make configurations.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "EventBusConfig is made by EventBusConfig.memory(), .redis(url, consumer_group), "
            ".postgresql(connection_string) or .nats(url)"
        )

    @classmethod
    def _make(cls, bus_type: str, url: str | None = None, consumer_group: str | None = None) -> EventBusConfig:
        made = cls.__new__(cls)
        made._bus_type, made._url, made._consumer_group = bus_type, url, consumer_group
        return made

    @classmethod
    def memory(cls) -> EventBusConfig:
        """Return the bus inside this process: at most once, and lost with the process.

        Returns:
            The configuration.
        """
        return cls._make("memory")

    @classmethod
    def redis(cls, url: str, consumer_group: str) -> EventBusConfig:
        """Return a bus over Redis Streams.

        Args:
            url: `redis://[[user]:password@]host[:port][/db]`, `rediss://` for TLS, or `unix:///path[?db=n]`;
                `redis+sentinel://host1,host2/master`, `redis+cluster://host1,host2`. docs/delivery.md lists parameters.
            consumer_group: The name that processes of one application share; 1 to 255 characters, no white space.

        Returns:
            The configuration.

        Raises:
            ValueError: The URL or the name cannot be right; the text says what is wrong.
        """
        parts = _split("redis", url, ("redis", "rediss", "unix", *_SEVERAL))
        if parts.scheme in _SEVERAL:
            if not parts.netloc.rpartition("@")[2]:
                raise ValueError("redis: the URL names no host")
        elif parts.scheme == "unix":
            if parts.netloc or not parts.path.strip("/"):
                raise ValueError("redis: a unix URL is unix:///path/of/the/socket")
        else:
            _host("redis", parts)
            database = parts.path.strip("/")
            if database and not database.isdecimal():
                raise ValueError("redis: the path of the URL is the number of a database, and this one is none")
        if not isinstance(consumer_group, str):
            raise ValueError(f"redis: consumer_group is a str, not {type(consumer_group).__name__}")
        if not 1 <= len(consumer_group) <= 255 or any(c.isspace() for c in consumer_group):
            raise ValueError("redis: consumer_group has 1 to 255 characters and no white space")
        return cls._make("redis", url, consumer_group)

    @classmethod
    def postgresql(cls, connection_string: str) -> EventBusConfig:
        """Return a bus over a table of PostgreSQL.

        Args:
            connection_string: `postgresql://[user[:password]@][host][:port][/database][?name=value]`, or
                `postgres://`; or what libpq calls a keyword/value string, `host=db dbname=app user=me`.

        Returns:
            The configuration.

        Raises:
            ValueError: The URL cannot be right; the text says what is wrong.
        """
        if isinstance(connection_string, str) and "://" not in connection_string and "=" in connection_string:
            connection_string = _keywords(connection_string)
        parts = _split("postgresql", connection_string, ("postgresql", "postgres"))
        if not parts.hostname and "host=" not in parts.query:
            raise ValueError("postgresql: the URL names no host")
        _port("postgresql", parts)
        return cls._make("postgresql", connection_string)

    @classmethod
    def nats(cls, url: str) -> EventBusConfig:
        """Return a bus over NATS JetStream.

        Args:
            url: `nats://[user:password@]host[:port]` or `tls://`; several servers of a cluster with commas between.

        Returns:
            The configuration.

        Raises:
            ValueError: A URL cannot be right; the text says what is wrong.
        """
        _text("nats", url)
        for one in url.split(","):
            parts = _split("nats", one.strip(), ("nats", "tls"))
            _host("nats", parts)
            if parts.path.strip("/"):
                raise ValueError("nats: the URL has a path, which means nothing here")
        return cls._make("nats", url)

    @property
    def bus_type(self) -> str:
        """`memory`, `redis`, `postgresql` or `nats`."""
        return self._bus_type

    @property
    def consumer_group(self) -> str | None:
        """The name that processes of one application share; None unless the bus is Redis."""
        return self._consumer_group

    def _document(self) -> dict[str, Any]:
        """Return what the engine gets."""
        out: dict[str, Any] = {"type": self._bus_type}
        if self._url is not None:
            out["url"] = self._url
        if self._consumer_group is not None:
            out["consumer_group"] = self._consumer_group
        return out

    def __eq__(self, other: object) -> bool:
        """Compare by members."""
        if not isinstance(other, EventBusConfig):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        """Hash by members."""
        return hash((self._bus_type, self._url, self._consumer_group))

    def __repr__(self) -> str:
        """Show the bus without its credentials."""
        if self._url is None:
            return f"EventBusConfig.{self._bus_type}()"
        urls = self._url.split(",") if self._bus_type == "nats" else [self._url]
        shown = repr(",".join(_masked(one.strip()) for one in urls))
        if self._consumer_group is not None:
            shown += f", consumer_group={self._consumer_group!r}"
        return f"EventBusConfig.{self._bus_type}({shown})"


def _text(bus: str, url: object) -> None:
    if not isinstance(url, str):
        raise ValueError(f"{bus}: the URL is a str, not {type(url).__name__}")
    if not url:
        raise ValueError(f"{bus}: the URL is empty")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{bus}: the URL has white space or control characters in it")


def _keywords(text: str) -> str:
    """Turn libpq's `name=value name='a value'` into a URL. No message repeats a value."""
    import re
    from urllib.parse import urlencode

    pair = re.compile(r"\s*([A-Za-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?:\s+|$)", re.DOTALL)
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        match = pair.match(text, at)
        if match is None:
            raise ValueError("postgresql: want a URL, postgresql://…, or name=value pairs such as host=db dbname=app")
        name, value = match[1], match[2]
        if name in found:
            raise ValueError(f"postgresql: {name} is there twice")
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1] if value[:1] == "'" else value, flags=re.DOTALL)
        at = match.end()
    if not found.get("host"):
        raise ValueError("postgresql: the connection string names no host")
    return "postgresql:///?" + urlencode(found)


def _split(bus: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
    """Take a URL apart. No message repeats more of it than the scheme: the rest may hold a password."""
    from urllib.parse import urlsplit

    _text(bus, url)
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError(f"{bus}: the URL has no scheme, it begins with {expected}")
    if scheme.lower() not in schemes:
        known = scheme.replace("+", "").replace("-", "").replace(".", "").isalnum()
        shown = repr(f"{scheme}://") if known else "something else"
        raise ValueError(f"{bus}: the URL begins with {expected}, not {shown}")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"{bus}: the URL cannot be read, look at its host") from None


def _host(bus: str, parts: SplitResult) -> None:
    if not parts.hostname:
        raise ValueError(f"{bus}: the URL names no host")
    _port(bus, parts)


def _port(bus: str, parts: SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{bus}: the port of the URL is not a number from 1 to 65535")


def _masked(url: str) -> str:
    """Replace what is secret in a URL: the user information, and the query, which may hold a password too."""
    scheme, _, rest = url.partition("://")
    # Whoever forgot to escape a password may have put any character before the last @.
    user, at, host = rest.rpartition("@")
    place, question, _ = host.partition("?")
    if at:
        place = f"{user.partition(':')[0]}:***@{place}" if ":" in user else f"***@{place}"
    return f"{scheme}://{place}" + ("?***" if question else "")
