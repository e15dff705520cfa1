"""Who is asking: what an `auth_handler` answers."""

from __future__ import annotations

import datetime
import json
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from fraiseql.subscriptions.settings import unknown

__all__ = ["Identity", "told"]


@dataclass(frozen=True)
class Identity:
    """Who is asking. Every member may be absent; an address that is absent equals nothing.

    Attributes:
        user_id: The user; without one `@authenticated` refuses.
        tenant_id: The tenant; events of other tenants never arrive.
        roles: For `@requiresRole`.
        scopes: For `@requiresScopes`.
        federation_id: The federation that the caller belongs to.
        service_name: The service that asks.
        expires_at: When the identity ends, as an aware datetime or seconds since 1970; the connection is then closed
            with 4403.
        token_id: The credentials, for revocations of just these.
        issued_at: When the credentials were issued, as `expires_at`, for revocations of all that are older. None is
            when they were presented, which is true of those that are looked up.
    """

    user_id: str | int | None = None
    tenant_id: str | int | None = None
    roles: Iterable[str] = ()
    scopes: Iterable[str] = ()
    federation_id: str | None = None
    service_name: str | None = None
    expires_at: datetime.datetime | int | float | None = None
    token_id: str | None = None
    issued_at: datetime.datetime | int | float | None = None

    def __post_init__(self) -> None:
        """Check the members.

        Raises:
            TypeError: One has the wrong type; the text names it and never shows its value.
            ValueError: One cannot be right.
        """
        for name in ("user_id", "tenant_id", "federation_id", "service_name", "token_id"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise TypeError(f"Identity: {name} is a str, not {type(value).__name__}")
            if value == "":
                raise ValueError(f"Identity: {name} is empty; leave it out to have none")
            _plain(name, value)
        for name in ("roles", "scopes"):
            listed = getattr(self, name)
            if isinstance(listed, str) and name == "scopes":
                listed = listed.split()
            # The keys of a mapping are no list: {"admin": False} does not mean to give that role.
            if isinstance(listed, (str, bytes, Mapping)) or not isinstance(listed, Iterable):
                raise TypeError(f"Identity: {name} is a list of str, not {type(listed).__name__}")
            listed = tuple(listed)
            if not all(isinstance(one, str) for one in listed):
                raise TypeError(f"Identity: {name} is a list of str")
            object.__setattr__(self, name, tuple(_plain(name, one) for one in listed))
        self._moment("expires_at")
        self._moment("issued_at")

    def _ended(self) -> bool:
        """Report whether it is past `expires_at`."""
        moment = self._moment("expires_at")
        return moment is not None and moment <= datetime.datetime.now(datetime.timezone.utc)

    def _moment(self, name: str) -> datetime.datetime | None:
        at: Any = getattr(self, name)
        if at is None:
            return None
        if isinstance(at, datetime.datetime):
            if at.tzinfo is None:
                raise ValueError(f"Identity: {name} has no time zone")
            return at.astimezone(datetime.timezone.utc)
        if isinstance(at, (int, float)) and type(at) is not bool:
            try:
                return datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
            except (OverflowError, ValueError, OSError):
                raise ValueError(f"Identity: {name} is not a time in seconds since 1970") from None
        raise TypeError(f"Identity: {name} is an aware datetime or seconds since 1970, not {type(at).__name__}")

    @classmethod
    def of(cls, answer: Identity | Mapping[str, Any]) -> Identity:
        """Read the answer of an `auth_handler`.

        Args:
            answer: An identity, or a dict with its members.

        Returns:
            The identity.

        Raises:
            TypeError: It is neither, has a member that no identity has, or one of the wrong type.
            ValueError: A member cannot be right.
        """
        if isinstance(answer, Identity):
            return answer
        if not isinstance(answer, Mapping):
            raise TypeError(f"auth_handler returns an Identity or a dict, not {type(answer).__name__}")
        known = tuple(field.name for field in fields(cls))
        for key in answer:
            if key not in known:
                # What is no name, or a long one, may be a value that got into the wrong place.
                shown = key if type(key) is str and key.isidentifier() and len(key) <= 40 else f"<{type(key).__name__}>"
                raise TypeError(f"auth_handler: {unknown(shown, known)}")
        return cls(**answer)

    def _json(self) -> bytes:
        """Return what the engine gets."""
        document: dict[str, Any] = {}
        for name in ("user_id", "tenant_id", "federation_id", "service_name", "token_id"):
            value = getattr(self, name)
            if value is not None:
                document[name] = _plain(name, value)
        for name in ("roles", "scopes"):
            if getattr(self, name):
                document[name] = list(getattr(self, name))
        for name in ("expires_at", "issued_at"):
            moment = self._moment(name)
            if moment is not None:
                document[name] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return json.dumps(document).encode()


def told(error: Exception) -> str | None:
    """Look whether an error is of the checks of this module: their texts name members and types, never values.

    Args:
        error: What was raised.

    Returns:
        Its text; None where somebody else raised it.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if type(error) not in (TypeError, ValueError) or not frames or frames[-1].f_globals is not globals():
        return None
    text = str(error)  # built-in functions have no frames: what they raised here begins in another way
    return text if text.startswith(("Identity: ", "auth_handler")) else None


def _plain(name: str, value: str | int) -> str:
    """Return the text that a member is compared by, whatever a subclass shows as its `str()`: a masked one is no name."""
    text = str.__str__(value) if isinstance(value, str) else int.__repr__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"Identity: {name}: a lone surrogate has no UTF-8 form") from None
    return text
