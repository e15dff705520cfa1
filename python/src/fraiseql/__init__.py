"""FraiseQL subscriptions: GraphQL subscriptions by a native engine inside the Python process.

Everything that applications use is in `fraiseql.subscriptions`, and what mounts it into web frameworks in
`fraiseql.integrations`. Importing this package loads nothing native and starts no thread, so it may happen before a
fork.
"""

from fraiseql._version import __version__

__all__ = ["__version__"]
