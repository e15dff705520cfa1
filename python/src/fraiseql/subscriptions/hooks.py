"""Asking the application about connections and subscriptions, beside who they belong to."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import inspect
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from dataclasses import field as member
from typing import TYPE_CHECKING, Any, Union

from fraiseql.subscriptions import loops
from fraiseql.subscriptions.identity import Identity
from fraiseql.subscriptions.settings import seconds

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["Desk", "Hooks", "Refused", "Subscribing", "hooks_document"]

_log = logging.getLogger("fraiseql")

Verdict = Union[bool, None]
_NAMES = ("on_connect", "on_subscribe", "on_disconnect", "recheck")


class Refused(Exception):
    """Raised by a hook: what it was asked about does not happen. Every other exception means that it could not judge."""


@dataclass(frozen=True)
class Subscribing:
    """A subscription that somebody asks for.

    Attributes:
        identity: Who asks.
        channel: The channel that it listens to.
        field: The root field.
        query: The document as the client sent it.
        operation_name: Which of its operations, when the client named one.
        variables: Values by the names of the variables, as the client sent them.
    """

    identity: Identity
    channel: str
    field: str
    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = member(default_factory=dict)


@dataclass(frozen=True)
class Hooks:
    """Functions that are asked about, or told of, the clients of mounts and servers. All are optional, sync or async.

    `on_connect`, `on_subscribe` and `recheck` refuse by returning False or raising `Refused`; None and True allow. Any other
    exception, another value, or no answer within `timeout` is no judgement: what is asked about does not happen, and the
    client may come again; a connection that is looked at again stays until the next time. They are called in the event loop
    in which the clients are served: what blocks there blocks the application. Subscriptions that the application registers
    itself are nobody's connection.

    Attributes:
        on_connect: `on_connect(identity)`, once per WebSocket and stream, when its credentials were accepted. Refusing
            closes with 4403, or answers 403.
        on_subscribe: `on_subscribe(subscription)`, before each subscription begins, after everything else has allowed it;
            see `Subscribing`. Refusing answers with FORBIDDEN.
        on_disconnect: `on_disconnect(identity)`, soon after the end of each connection that was let in. Not after the
            manager was closed.
        recheck: `recheck(identity)`, for each open connection, every `recheck_every` seconds. Refusing closes with 4403.
        recheck_every: Seconds between two looks at all connections.
        timeout: Seconds that an answer may take.
    """

    on_connect: Callable[[Identity], Verdict | Awaitable[Verdict]] | None = None
    on_subscribe: Callable[[Subscribing], Verdict | Awaitable[Verdict]] | None = None
    on_disconnect: Callable[[Identity], object] | None = None
    recheck: Callable[[Identity], Verdict | Awaitable[Verdict]] | None = None
    recheck_every: float = 300.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """Check the members.

        Raises:
            TypeError: One has the wrong type.
            ValueError: A time cannot be right.
        """
        for name in _NAMES:
            fn = getattr(self, name)
            if fn is not None and not callable(fn):
                raise TypeError(f"Hooks: {name} is a function, not {type(fn).__name__}")
        seconds("recheck_every", self.recheck_every)
        seconds("timeout", self.timeout)


def hooks_document(hooks: Hooks | None, token: int) -> dict[str, Any]:
    """Write hooks as the engine's configuration.

    Args:
        hooks: The hooks, None: there are none.
        token: What the engine calls them by.

    Returns:
        Members of a JSON object.
    """
    if hooks is None:
        return {}
    known: dict[str, Any] = {name: True for name in _NAMES if getattr(hooks, name) is not None}
    return {"hooks": {**known, "recheck_every": hooks.recheck_every, "timeout": hooks.timeout, "token": token}} if known else {}


def check_hooks(hooks: Hooks | None) -> None:
    """Refuse what is no `Hooks`.

    Args:
        hooks: The hooks, or None.

    Raises:
        TypeError: It is neither.
    """
    if hooks is not None and not isinstance(hooks, Hooks):
        raise TypeError(f"hooks is a Hooks, not {type(hooks).__name__}")


class Desk:
    """Where the engine's questions to the hooks of one mount or server are answered."""

    __slots__ = ("_context", "_hooks", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, hooks: Hooks) -> None:
        """Make a desk.

        Args:
            loop: Where the hooks are called, as long as it runs.
            hooks: The hooks.
        """
        self.loop = loop
        self._context = contextvars.copy_context()
        self._hooks = hooks

    def ask(self, executor: SubscriptionExecutor, call_id: int, question: bytes) -> None:
        """Call the hook, in the running loop and the context in which the desk was made, and answer the call.

        Args:
            executor: Who asks.
            call_id: The call.
            question: A JSON object.
        """
        self._context.copy().run(self._ask, executor, call_id, question)

    def _ask(self, executor: SubscriptionExecutor, call_id: int, question: bytes) -> None:
        name = "?"
        try:
            asked = json.loads(question)
            name = asked["hook"]
            verdict = self._call(name, asked)
            if inspect.isawaitable(verdict):
                waiting = self._await(executor, call_id, name, verdict)
                executor._aside().start(waiting, asyncio.get_running_loop(), call_id, verdict)
                return
            allowed = _read(name, verdict)
        except Exception as error:
            _failed(executor, call_id, name, error)
        except BaseException:
            loops.answer(executor, call_id, loops.FAILED, None)
            raise
        else:
            _answer(executor, call_id, allowed)

    def _call(self, name: str, asked: dict[str, Any]) -> Any:
        hooks, who = self._hooks, _identity(asked["identity"])
        if name == "subscribe":
            assert hooks.on_subscribe is not None
            return hooks.on_subscribe(
                Subscribing(
                    who,
                    asked["channel"],
                    asked["field"],
                    asked["query"],
                    asked.get("operation_name"),
                    asked.get("variables") or {},
                )
            )
        fn = {"connect": hooks.on_connect, "disconnect": hooks.on_disconnect, "recheck": hooks.recheck}[name]
        assert fn is not None
        return fn(who)

    async def _await(self, executor: SubscriptionExecutor, call_id: int, name: str, verdict: Awaitable[Any]) -> None:
        try:
            allowed = _read(name, await asyncio.wait_for(verdict, self._hooks.timeout))
        except Exception as error:
            _failed(executor, call_id, name, error)
        except BaseException:  # cancelled, or the end of the process
            loops.answer(executor, call_id, loops.FAILED, None)
            raise
        else:
            _answer(executor, call_id, allowed)


def _read(name: str, verdict: object) -> bool:
    if verdict is None or verdict is True or name == "disconnect":
        return True
    if verdict is False:
        return False
    raise TypeError(f"a hook returns True, False or None, not {type(verdict).__name__}")


def _answer(executor: SubscriptionExecutor, call_id: int, allowed: bool) -> None:
    loops.answer(executor, call_id, loops.VALUE if allowed else loops.REFUSED, b"" if allowed else None)


def _failed(executor: SubscriptionExecutor, call_id: int, name: str, error: Exception) -> None:
    """Answer for what was raised. Its text may hold who was asked about: the log gets type and place alone."""
    if isinstance(error, Refused):
        _answer(executor, call_id, False)
        return
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    _log.warning("the hook at %s raised %s at %s, it has not judged", name, type(error).__name__, place)
    loops.answer(executor, call_id, loops.FAILED, None)


def _identity(known: dict[str, Any]) -> Identity:
    for name in ("expires_at", "issued_at"):
        if name in known:
            known[name] = _moment(known[name])
    return Identity(**known)


def _moment(text: str) -> datetime.datetime:
    """Read a time of the engine: RFC 3339 in UTC, with up to nine digits behind the dot."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return moment + datetime.timedelta(microseconds=int((fraction + "000000")[:6])) if fraction else moment
