"""The methods of `SubscriptionExecutor` that not every program calls: they are read when somebody asks for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from fraiseql import _native

if TYPE_CHECKING:
    import datetime
    import os

    from fraiseql._native import Event
    from fraiseql.subscriptions import SubscriptionExecutor
    from fraiseql.subscriptions.listen import Listener
    from fraiseql.subscriptions.loops import Loops
    from fraiseql.subscriptions.work import Worker

    Resolver = TypeVar("Resolver", bound=Callable[..., Any])

__all__ = ["Methods", "read"]

_METRICS = (
    ("active_connections", "connections"),
    ("active_subscriptions", "subscriptions"),
    ("channels", "channels"),
    ("groups", "groups"),
    ("events_published", "events"),
    ("events_dispatched", "events"),
    ("messages_delivered", "messages"),
    ("messages_dropped", "dropped"),
    ("queue_bytes", "queue_bytes"),
    ("plan_cache_bytes", "plan_cache_bytes"),
)


class Methods(_native.Executor):
    """What `SubscriptionExecutor` can do besides what the native class does; it is no base of that at run time.

    So `super()` is none of what these functions may use.
    """

    _closed: bool
    _remote: bool
    _group: str | None
    _named: dict[str, Callable[..., Any]]
    _loops: Loops | None

    def register_resolver(self, name: str, fn: Resolver) -> Resolver:
        """Let a function make the value of a root field. Subscriptions made from now on use it.

        It is called once per group of equal subscriptions and event, with the event (an object with `id`, `type`,
        `channel`, `data`, `tenant_id`, `user_id`, …), the coerced variables as a dict if it takes a second
        parameter, and the caller's `user_id`, `tenant_id`, `roles` and `scopes` if it takes a third: results are
        then shared by those callers only who are equal in these. What it returns is projected like data; None is
        null, and raising `Skip` means no message. Any other exception becomes a GraphQL error with a masked text,
        and is logged by the logger `fraiseql`.

        Args:
            name: A root field, or an event type.
            fn: A function or coroutine function of one to three parameters.

        Returns:
            The function.

        Raises:
            TypeError: It cannot be called with one to three values.
            ValueError: The name is empty.
        """
        from fraiseql.subscriptions.resolvers import signature_of

        count, is_async = signature_of(fn)
        if not isinstance(name, str):
            raise TypeError(f"the name of a resolver is a str, not {type(name).__name__}")
        if not name:
            raise ValueError("the name of a resolver is that of a root field or an event type, it is empty")
        self._set_resolver(name, fn, count, is_async)
        self._named[name] = fn
        if self._remote:  # events come while nobody publishes here: somebody must be there to call it
            self._aside().attend()
        return fn

    def work(self, channel: str, fn: Callable[[Event], Any], *, group: str | None = None) -> Worker:
        """Let a function work on the events of a channel that are this process's among those of a group.

        For what must be done once however many processes there are, such as sending a mail: each event goes to one
        process of the group, in order, one at a time per process. It comes again, to this or another process, when
        the function raised or its process died: what it does should bear being done twice. A group begins with events
        that are published after it was first named. The function runs in a running event loop, else in a background
        thread, never within `publish_event`.

        Args:
            channel: The channel.
            fn: A function or coroutine function of the event (`id`, `type`, `channel`, `data`, `tenant_id`, …). What it
                returns is ignored; what it raises is logged.
            group: The name that the processes share; None is the `consumer_group` of the bus.

        Returns:
            The worker, which `close()` ends; a context manager. It works until then, or until the executor is closed.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: The name of the channel or of the group cannot be right, or there is no group.
            BusUnavailable: The bus gives no event to one process alone; memory and Redis do.
        """
        from fraiseql.subscriptions.work import Worker

        return Worker(_executor(self), channel, fn, self._group if group is None else group)

    def set_schema(self, schema: str | os.PathLike[str]) -> tuple[int, int]:
        """Put another schema in the place of the one in force, without a subscription ending that is still valid.

        A live subscription goes on if its document and its variables are valid under the new schema, its field listens
        to the same channel, and its identity may have it: it changes between two events, so that none is lost, comes
        twice or out of order. Every other ends, after what waits for it, with an error of code `SCHEMA_CHANGED`.

        Args:
            schema: As the constructor takes it.

        Returns:
            How many live subscriptions went on, and how many ended.

        Raises:
            TypeError: It is neither text nor a path.
            ValueError: The schema has errors: the text says where, and nothing has changed. So it is for an executor that
                was made without a schema.
        """
        from fraiseql.subscriptions import errors
        from fraiseql.subscriptions.schema import document

        try:
            return self._set_schema(document(schema))
        except errors.InvalidQuery as error:
            raise errors.InvalidConfig.of(error) from None

    def revoke(
        self,
        *,
        token_id: str | None = None,
        user_id: str | int | None = None,
        tenant_id: str | int | None = None,
        issued_before: datetime.datetime | float | None = None,
        everybody: bool = False,
    ) -> None:
        """Refuse credentials from now on, and close the connections that were opened with them, with 4403.

        It holds on every process that shares the bus, and for those that start later, for as long as the credentials
        could be valid. Connections of mounts and servers are meant; subscriptions that were registered here by hand
        with such an identity end too.

        Args:
            token_id: The credentials of this id (`Identity.token_id`).
            user_id: Those of a user.
            tenant_id: Those of a tenant; with a user, both must be equal.
            issued_before: Those that were issued before, as an aware datetime or seconds since 1970, not in the future.
                None is now, or whenever with a `token_id`.
            everybody: Those of everybody, when nobody is named.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: Nobody is named, or an argument cannot be right.
            BusUnavailable: The bus did not acknowledge.
            SubscriptionError: There are as many revocations as there may be.
        """
        from fraiseql.subscriptions.revocation import document, refused

        text = document(token_id, user_id, tenant_id, issued_before, everybody)
        with refused():
            self._revoke(text)

    def listen(
        self,
        subscription_id: str | int,
        connection_id: str | int | None = None,
        *,
        resume: bool | str = False,
    ) -> Listener:
        """Iterate over the messages of a subscription, in the running event loop.

        `async for message in executor.listen("sub1")` gets each message as bytes, waits without polling, and ends
        when the subscription is completed or the executor is closed. Nothing is buffered in Python: a loop body that
        takes its time lets messages wait in the subscription's queue, with its bounds and policy.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.
            resume: A cursor (see `cursor_of`) begins the subscription again, after the event of that message, whatever
                it was registered with: what waits is dropped, and each message has a cursor. True begins now. On
                other buses than memory this waits for the bus; `register_subscription(resume=…)` in a thread of its own
                spares the loop that.

        Returns:
            An asynchronous iterator, with `aclose()`. Iterating raises `SlowConsumer` when the subscription did not
            keep up, after what was queued.

        Raises:
            KeyError: There is no such subscription.
            ValueError: Two connections use the id.
            RuntimeError: Somebody else listens to the subscription.
        """
        from fraiseql.subscriptions.listen import Listener

        if resume is False or resume is None:
            return Listener(_executor(self), subscription_id, connection_id)
        if resume is not True and not isinstance(resume, str):
            kind = type(resume).__name__
            raise TypeError(f"resume must be a bool or the cursor of a message as str, not {kind}")
        listener = Listener(_executor(self), subscription_id, connection_id)
        try:
            live = self._resume(listener._handle, "" if resume is True else resume or "-")
        except BaseException:
            listener._release()
            raise
        if not live:
            listener._release()
            raise KeyError(subscription_id)
        return listener

    async def next_event_async(
        self,
        subscription_id: str | int,
        connection_id: str | int | None = None,
        timeout: float | None = None,
    ) -> bytes | None:
        """Wait for the next message of a subscription.

        Args:
            subscription_id: The subscription.
            connection_id: Its connection; needed when two connections use the id.
            timeout: Seconds to wait; None waits as long as it takes.

        Returns:
            The message, or None when none came in time or there is no such subscription any more.

        Raises:
            ValueError: Two connections use the id.
            RuntimeError: Somebody else listens to the subscription.
            SlowConsumer: The subscription did not keep up and was ended.
        """
        from fraiseql.subscriptions.listen import Listener

        try:
            listener = Listener(_executor(self), subscription_id, connection_id)
        except KeyError:  # completed by now
            return None
        try:
            return await listener._next(timeout)
        finally:
            listener._release()

    def get_metrics(self) -> dict[str, Any]:
        """Return counts since the executor was made and sizes as they are now. Cheap enough for a call per second.

        Returns:
            A dict of ints: `active_connections` and `active_subscriptions` (of clients of mounts and servers too),
            `channels` and `groups` (that have subscriptions), `events_published` (that came from the bus),
            `events_dispatched` (the same, on the memory bus), `messages_delivered` (put into queues of subscriptions),
            `messages_dropped` (by full queues), `queue_bytes` (that wait), `plan_cache_bytes`; and `denied`, a dict of
            counts by the name of the check (`scope`, `tenant`, `row`, `federation`, `rbac`): subscriptions that an
            event was not for, and subscribes that were refused.
        """
        known = _native.Executor.get_metrics(self)
        return {**{name: known[of] for name, of in _METRICS if of in known}, "denied": known["denied"]}

    def _aside(self) -> Loops:
        """Return what belongs to event loops; made when first needed."""
        if self._loops is not None:
            return self._loops
        from fraiseql.subscriptions.loops import Loops

        made: Loops = self.__dict__.setdefault("_loops", Loops(_executor(self)))  # one, whichever thread is first
        return made

    def _describe_resolver(self, fn: Callable[..., Any]) -> tuple[int, bool]:
        """Say how many values the resolver of one subscription takes, and whether it is awaited; for the native code."""
        from fraiseql.subscriptions.resolvers import signature_of

        shape = signature_of(fn)
        if self._remote:
            self._aside().attend()
        return shape

    def _resolver_named(self, name: str) -> Callable[..., Any]:
        """Find the resolver that a subscription names; for the native code."""
        fn = self._named.get(name)
        if fn is None:
            raise ValueError(f"no resolver is registered as {name!r}")
        return fn

    def _resolver_failed(self, name: str, error: BaseException) -> None:
        """Log what a resolver raised; for the native code."""
        from fraiseql.subscriptions.resolvers import failed

        failed(name, error)

    def _await_call(self, call_id: int, awaitable: Awaitable[Any]) -> None:
        """Answer a call with what an awaitable gives; for the native code."""
        self._aside().resolve(call_id, awaitable)

    def _authenticate(self, call_id: int, session: int, params: bytes | None, request: bytes | None) -> None:
        """Judge what a client presented in `connection_init`; for the native code."""
        self._aside().authenticate(call_id, session, params, request)

    def _hook(self, call_id: int, token: int, question: bytes | None, _: None) -> None:
        """Ask a hook; for the native code."""
        self._aside().hook(call_id, token, question)


def _executor(methods: Methods) -> SubscriptionExecutor:
    return cast("SubscriptionExecutor", methods)


class _Read(Protocol):
    """What stands for a method until it is read."""

    name: str


def read(owner: type, later: _Read) -> FunctionType:
    """Put a method into a class, in the place of what stood for it.

    Args:
        owner: The class.
        later: What stands there.

    Returns:
        The method.
    """
    method: FunctionType = Methods.__dict__[later.name]
    method.__qualname__ = f"{owner.__name__}.{later.name}"
    if owner.__dict__.get(later.name) is later:  # another thread may have been first, or somebody put his own there
        setattr(owner, later.name, method)
    return method
