"""FraiseQL subscriptions: GraphQL subscriptions by a native engine inside the Python process.

Everything that applications use is in `fraiseql.subscriptions`, and what mounts it into web frameworks in
`fraiseql.integrations`. Importing this package loads nothing native and starts no thread, so it may happen before a
fork.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fraiseql._version import __version__

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Read the version when somebody asks for it."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fraiseql import _version

    return _version.__version__
