"""Asking the application who a client is."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Union

from fraiseql.subscriptions import loops
from fraiseql.subscriptions.identity import Identity, told
from fraiseql.subscriptions.settings import flag

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["AuthHandler", "Door", "check_handler"]

_log = logging.getLogger("fraiseql")

_PATIENCE = 30.0
"""Seconds that a handler may take. As many as the engine asks for at a time would else keep everybody else out."""

Answer = Union[Identity, Mapping[str, Any], None]
AuthHandler = Callable[[dict[str, Any], Any], Union[Answer, Awaitable[Answer]]]
"""`auth_handler(connection_params, request)`: the payload of `connection_init` (`{}` when there is none) and the request
that opened the WebSocket. Its answer says who asks; raising refuses."""


def check_handler(handler: AuthHandler | None, anonymous: bool) -> None:
    """Refuse a mount that would let everybody in without saying so.

    Args:
        handler: The `auth_handler`.
        anonymous: Whether everybody is let in on purpose.

    Raises:
        ValueError: There is no handler, and `anonymous` is not True.
        TypeError: The handler cannot be called, or `anonymous` is no bool.
    """
    if not flag("anonymous", anonymous) and handler is None:
        raise ValueError("auth_handler is None: pass one, or anonymous=True to let everybody in")
    if handler is not None and not callable(handler):
        raise TypeError(f"auth_handler is a function, not {type(handler).__name__}")


class Door:
    """What judges the clients of one session, or of all sessions of one server."""

    __slots__ = ("_anonymous", "_context", "_handler", "_request", "_task", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: AuthHandler,
        anonymous: bool,
        request: Callable[[bytes | None], Any],
    ) -> None:
        """Make a door.

        Args:
            loop: Where the handler is called.
            handler: Who judges.
            anonymous: Whether None as its answer lets the client in, without an identity.
            request: Makes the request that the handler gets, of what the engine knows about it.
        """
        self.loop = loop
        self._context = contextvars.copy_context()
        self._handler = handler
        self._anonymous = anonymous
        self._request = request
        self._task: asyncio.Task[None] | None = None

    def judge(
        self,
        executor: SubscriptionExecutor,
        call_id: int,
        params: bytes | None,
        request: bytes | None,
    ) -> None:
        """Call the handler, in the loop's thread and the context in which the door was made, and answer the call.

        Args:
            executor: Who asks.
            call_id: The call.
            params: Payload of `connection_init`.
            request: What the engine knows about the request.
        """
        # A copy: calls may overlap, and a context can be entered only once at a time.
        self._context.copy().run(self._judge, executor, call_id, params, request)

    def _judge(self, executor: SubscriptionExecutor, call_id: int, params: bytes | None, request: bytes | None) -> None:
        try:
            payload = json.loads(params) if params else None
            answer = self._handler(payload or {}, self._request(request))
            if inspect.isawaitable(answer):
                waiting = self._await(executor, call_id, answer)
                self._task = executor._aside().start(waiting, self.loop, call_id, answer)
                return
            text = self._read(answer)
        except Exception as error:
            _refuse(executor, call_id, error)
        except BaseException:  # its text may hold credentials, too: the native code would log it
            loops.answer(executor, call_id, loops.FAILED, None)
            raise
        else:
            self._admit(executor, call_id, text)

    async def _await(self, executor: SubscriptionExecutor, call_id: int, answer: Awaitable[Answer]) -> None:
        task = asyncio.current_task()
        assert task is not None
        timer = self.loop.call_later(_PATIENCE, _give_up, task)
        try:
            text = self._read(await answer)
        except Exception as error:
            _refuse(executor, call_id, error)
        except BaseException:  # cancelled, or the end of the process
            loops.answer(executor, call_id, loops.FAILED, None)
            raise
        else:
            self._admit(executor, call_id, text)
        finally:
            timer.cancel()

    def _read(self, answer: Answer) -> bytes | None:
        if answer is None:
            return b"{}" if self._anonymous else None
        identity = Identity.of(answer)
        return None if identity._ended() else identity._json()

    def _admit(self, executor: SubscriptionExecutor, call_id: int, text: bytes | None) -> None:
        if text is None:
            _log.info("auth_handler knows no such client, or one that has expired: the connection is refused")
            loops.answer(executor, call_id, loops.REFUSED, None)
        else:
            loops.answer(executor, call_id, loops.VALUE, text)

    def close(self) -> None:
        """Stop a handler that is still at it."""
        if self._task is not None:
            self._task.cancel()


def _give_up(task: asyncio.Task[None]) -> None:
    _log.warning("auth_handler has not answered within %g s, the client may come again", _PATIENCE)
    task.cancel()


def _refuse(executor: SubscriptionExecutor, call_id: int, error: Exception) -> None:
    """Refuse a client. The text of what was raised may hold its credentials: the log gets type and place alone.

    Unless it is what `Identity` says of an answer.
    """
    text, place = told(error), _place(error)
    if text is None:
        _log.warning(
            "auth_handler raised %s at %s, the connection is refused", type(error).__name__, place or "its call or answer"
        )
    else:
        _log.warning("%s%s: the connection is refused", text, f" (at {place})" if place else "")
    loops.answer(executor, call_id, loops.REFUSED, None)


def _place(error: Exception) -> str | None:
    """Say where something was raised: the innermost place outside of this package."""
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not str(frame.f_globals.get("__name__")).startswith("fraiseql."):
            place = f"{frame.f_code.co_filename}:{line}"
    return place
