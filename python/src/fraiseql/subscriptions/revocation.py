"""What a revocation says."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fraiseql.subscriptions.errors import InvalidQuery
from fraiseql.subscriptions.operations import finished
from fraiseql.subscriptions.settings import flag

if TYPE_CHECKING:
    from fraiseql.subscriptions import SubscriptionExecutor

__all__ = ["Revoker", "document", "refused"]


def document(
    token_id: str | None,
    user_id: str | int | None,
    tenant_id: str | int | None,
    issued_before: datetime.datetime | float | None,
    everybody: bool,
) -> bytes:
    """Check the arguments of `SubscriptionExecutor.revoke` and write them for the engine.

    Args:
        token_id: See there.
        user_id: See there.
        tenant_id: See there.
        issued_before: See there.
        everybody: See there.

    Returns:
        A JSON object.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A name is empty, or the time has no zone or is none.
    """
    out: dict[str, object] = {}
    for name, value in (("token_id", token_id), ("user_id", user_id), ("tenant_id", tenant_id)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise TypeError(f"revoke: {name} is a str, not {type(value).__name__}")
        if value == "":
            raise ValueError(f"revoke: {name} is empty; None is nobody")
        out[name] = value
    if isinstance(issued_before, datetime.datetime):
        if issued_before.tzinfo is None:
            raise ValueError("revoke: issued_before has no time zone")
        out["issued_before"] = issued_before.timestamp()
    elif isinstance(issued_before, bool) or not isinstance(issued_before, (int, float, type(None))):
        raise TypeError(f"revoke: issued_before is a datetime or a number, not {type(issued_before).__name__}")
    elif issued_before is not None:
        if not math.isfinite(issued_before) or issued_before < 0:
            raise ValueError(f"revoke: issued_before is seconds since 1970, not {issued_before!r}")
        out["issued_before"] = issued_before
    if flag("everybody", everybody):
        out["everybody"] = True
    return json.dumps(out).encode()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Raise what the engine says of a revocation that cannot be right as a ValueError."""
    try:
        yield
    except InvalidQuery as error:
        raise ValueError(f"revoke: {error.message}") from None


class Revoker:
    """What can revoke credentials: the part of a manager that does."""

    _remote: bool

    if TYPE_CHECKING:

        @property
        def executor(self) -> SubscriptionExecutor:
            """The engine."""

    async def revoke(
        self,
        *,
        token_id: str | None = None,
        user_id: str | int | None = None,
        tenant_id: str | int | None = None,
        issued_before: datetime.datetime | float | None = None,
        everybody: bool = False,
    ) -> None:
        """Refuse credentials from now on; see `SubscriptionExecutor.revoke`.

        Args:
            token_id: The credentials of this id.
            user_id: Those of a user.
            tenant_id: Those of a tenant.
            issued_before: Those that were issued before, not in the future; None is now, or whenever with a `token_id`.
            everybody: Those of everybody, when nobody is named.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: Nobody is named, or an argument cannot be right.
            BusUnavailable: The bus did not acknowledge.
        """
        executor = self.executor
        text = document(token_id, user_id, tenant_id, issued_before, everybody)
        with refused():
            if self._remote:  # it waits for an acknowledgement
                await finished(executor, lambda box, token: executor._revoke_begin(box, token, text))
            else:
                executor._revoke(text)
