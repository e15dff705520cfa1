"""The event loop of programs that have none: resolvers that are awaited run there when nobody else has a loop."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading

__all__ = ["loop", "owns"]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_pid = 0


def loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the background thread; both are made when first asked for, in each process.

    Returns:
        A loop that runs.
    """
    global _loop, _thread, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            if _pid == 0:
                atexit.register(_stop)
            made = asyncio.new_event_loop()
            running = threading.Event()
            made.call_soon(running.set)
            thread = threading.Thread(target=_run, args=(made,), name="fraiseql-resolvers", daemon=True)
            thread.start()
            running.wait()
            _loop, _thread, _pid = made, thread, os.getpid()
        return _loop


def owns(other: asyncio.AbstractEventLoop | None) -> bool:
    """Say whether a loop is that of the background thread.

    Args:
        other: The loop; None is no loop.

    Returns:
        Whether it is.
    """
    return other is not None and other is _loop


def _run(made: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(made)
    try:
        made.run_forever()
        for task in asyncio.all_tasks(made):
            task.cancel()
        made.run_until_complete(made.shutdown_asyncgens())
    finally:
        made.close()


def _stop() -> None:
    """End the loop before the interpreter does."""
    if _loop is not None and _thread is not None and _pid == os.getpid():
        _loop.call_soon_threadsafe(_loop.stop)
        _thread.join(1)


def _after_fork() -> None:
    global _lock, _loop, _thread
    _lock, _loop, _thread = threading.Lock(), None, None


os.register_at_fork(after_in_child=_after_fork)
