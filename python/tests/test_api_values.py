"""What needs no engine: configurations, messages, errors, identities, requests, conversions."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import pickle
import uuid
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from fraiseql.subscriptions import (
    AuthorizationFailed,
    BusUnavailable,
    DuplicateSubscription,
    EventBusConfig,
    ForkError,
    GraphQLMessage,
    Identity,
    InvalidEvent,
    InvalidQuery,
    RateLimited,
    Request,
    SlowConsumer,
    SubscriptionError,
    SubscriptionExecutor,
    SubscriptionPayload,
)
from fraiseql.subscriptions.convert import default
from fraiseql.subscriptions.errors import from_json
from fraiseql.subscriptions.resolvers import signature_of
from fraiseql.subscriptions.settings import LIMITS, check_limits, check_security, read_schema
from pydantic import BaseModel


class TestEventBusConfig:
    def test_memory(self) -> None:
        config = EventBusConfig.memory()
        assert config.bus_type == "memory"
        assert repr(config) == "EventBusConfig.memory()"

    @pytest.mark.parametrize(
        "url",
        [
            "redis://localhost",
            "redis://localhost:6379/0",
            "rediss://user:secret@cache.example:6380/3?timeout=5",
            "redis://:secret@[::1]:6379",
            "unix:///run/redis.sock",
            "redis+sentinel://:secret@one:26379,two:26379/main",
            "rediss+cluster://one:7000,two:7001",
            "REDIS://localhost",
        ],
    )
    def test_redis(self, url: str) -> None:
        config = EventBusConfig.redis(url, consumer_group="app")
        assert (config.bus_type, config.consumer_group) == ("redis", "app")
        assert "secret" not in repr(config)
        assert "secret" not in str(config)
        assert config._document() == {"type": "redis", "url": url, "consumer_group": "app"}

    @pytest.mark.parametrize(
        "url", ["postgresql://u:secret@db/app", "postgres://db:5432/app?sslmode=require", "host=/run dbname=app password=secret"]
    )
    def test_postgresql(self, url: str) -> None:
        config = EventBusConfig.postgresql(url)
        assert config.bus_type == "postgresql"
        assert "secret" not in repr(config)

    def test_postgresql_keywords(self) -> None:
        config = EventBusConfig.postgresql(r" host = 'a,b' port=5432 user=me password='it\'s \\ secret&' notify=off ")
        assert config._document() == {
            "type": "postgresql",
            "url": "postgresql:///?host=a%2Cb&port=5432&user=me&password=it%27s+%5C+secret%26&notify=off",
        }
        assert "secret" not in repr(config)

    @pytest.mark.parametrize("url", ["nats://localhost:4222", "tls://secret@nats.example", "nats://a:secret@b,nats://c:4223"])
    def test_nats(self, url: str) -> None:
        config = EventBusConfig.nats(url)
        assert config.bus_type == "nats"
        assert "secret" not in repr(config)

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("", "empty"),
            ("localhost:6379", "no scheme"),
            ("http://secret@localhost", "begins with redis:// or rediss:// or unix:// or redis"),
            ("redis://", "names no host"),
            ("redis://:secret@", "names no host"),
            ("redis://localhost:secret/1", "port"),
            ("redis://localhost:99999", "port"),
            ("redis://localhost:0", "port"),
            ("redis://localhost/secret", "number of a database"),
            ("redis://local host", "white space"),
            ("redis://localhost\n", "white space"),
            ("redis://[::1", "cannot be read"),
            ("unix://host/socket", "unix:///path"),
            ("unix://", "unix:///path"),
            (None, "not NoneType"),
            (6379, "not int"),
        ],
    )
    def test_bad_redis(self, url: Any, why: str) -> None:
        with pytest.raises(ValueError, match=r"^redis: ") as caught:
            EventBusConfig.redis(url, "app")
        assert why in str(caught.value)
        assert ":secret@" not in str(caught.value)

    @pytest.mark.parametrize("group", ["", "two words", "x" * 256, None, 7])
    def test_bad_group(self, group: Any) -> None:
        with pytest.raises(ValueError, match="consumer_group"):
            EventBusConfig.redis("redis://localhost", group)

    @pytest.mark.parametrize(
        "url", ["", "mysql://localhost/db", "dbname=app", "host=a host=b", "host='db", "host=db app", "postgresql://db:port/app"]
    )
    def test_bad_postgresql(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"^postgresql: "):
            EventBusConfig.postgresql(url)

    @pytest.mark.parametrize(
        "url", ["", "localhost:4222", "nats://", "http://localhost", "nats://a:4222,redis://b", "nats://a/path"]
    )
    def test_bad_nats(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"^nats: "):
            EventBusConfig.nats(url)

    def test_is_made_by_its_methods_and_stays(self) -> None:
        with pytest.raises(TypeError, match=r"EventBusConfig\.memory\(\)"):
            EventBusConfig()
        config = EventBusConfig.memory()
        with pytest.raises(AttributeError):
            config.bus_type = "redis"  # type: ignore[misc]
        assert config == EventBusConfig.memory()
        assert config != EventBusConfig.nats("nats://localhost")
        assert len({config, EventBusConfig.memory()}) == 1


class TestMessages:
    def test_payload(self) -> None:
        payload = SubscriptionPayload("subscription { a }")
        assert (payload.query, payload.operation_name, payload.variables, payload.extensions) == (
            "subscription { a }",
            None,
            {},
            None,
        )
        payload.query, payload.operation_name, payload.variables, payload.extensions = "q", "o", {"a": 1}, {"b": 2}
        assert payload == SubscriptionPayload("q", "o", {"a": 1}, {"b": 2})
        assert "variables={'a': 1}" in repr(payload)
        assert SubscriptionPayload("q").variables is not SubscriptionPayload("q").variables

    def test_message(self) -> None:
        assert (GraphQLMessage().type_, GraphQLMessage().id, GraphQLMessage().payload) == ("", None, None)
        message = GraphQLMessage.from_dict({"type": "subscribe", "id": "1", "payload": {"query": "q"}})
        assert (message.type_, message.id, message.payload) == ("subscribe", "1", {"query": "q"})
        assert message.to_dict() == {"type": "subscribe", "id": "1", "payload": {"query": "q"}}
        assert GraphQLMessage("ping").to_dict() == {"type": "ping"}
        assert GraphQLMessage.from_dict({"type": "error", "id": "1", "payload": [{}]}).payload == [{}]
        assert message != GraphQLMessage("ping")

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            ({}, "'type' is missing"),
            ({"type": None}, "'type' is missing"),
            ({"type": 1}, "'type' is a string, not int"),
            ({"type": ""}, "'type' is empty"),
            ({"type": "next", "id": 1}, "'id' is a string, not int"),
            ({"type": "next", "payload": "x"}, "'payload' is an object or a list, not str"),
            ([], "an object, not list"),
            ("text", "an object, not str"),
        ],
    )
    def test_bad_message(self, data: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            GraphQLMessage.from_dict(data)


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("GRAPHQL_PARSE_FAILED", InvalidQuery),
            ("GRAPHQL_VALIDATION_FAILED", InvalidQuery),
            ("OPERATION_RESOLUTION_FAILURE", InvalidQuery),
            ("BAD_USER_INPUT", InvalidQuery),
            ("UNAUTHENTICATED", AuthorizationFailed),
            ("FORBIDDEN", AuthorizationFailed),
            ("SCOPE_MISMATCH", AuthorizationFailed),
            ("TOO_MANY_SUBSCRIPTIONS", RateLimited),
            ("RATE_LIMITED", RateLimited),
            ("LIMIT_EXCEEDED", RateLimited),
            ("SLOW_CONSUMER", SlowConsumer),
            ("BUS_UNAVAILABLE", BusUnavailable),
            ("INVALID_VALUE", InvalidEvent),
            ("FORK", ForkError),
            ("INTERNAL_SERVER_ERROR", SubscriptionError),
            ("OF_TOMORROW", SubscriptionError),
        ],
    )
    def test_kind_by_code(self, code: str, kind: type[SubscriptionError]) -> None:
        error = from_json(f'{{"code":"{code}","message":"why","errors":[{{"code":"{code}","message":"why"}}]}}'.encode())
        assert type(error) is kind
        assert isinstance(error, SubscriptionError)
        assert isinstance(error, RuntimeError)
        assert (error.code, error.message, str(error)) == (code, "why", "why")
        assert error.errors == [{"code": code, "message": "why"}]
        assert error.locations == []

    def test_places(self) -> None:
        text = b"""{"code":"LIMIT_EXCEEDED","message":"too deep","errors":[
            {"code":"LIMIT_EXCEEDED","message":"too deep","locations":[{"line":2,"column":3},{"line":4,"column":1}]}]}"""
        error = from_json(text)
        assert isinstance(error, InvalidQuery)
        assert error.locations == [{"line": 2, "column": 3}, {"line": 4, "column": 1}]
        assert str(error) == "line 2, column 3: too deep"
        assert error.message == "too deep"

    def test_event(self) -> None:
        text = b"""{"code":"BAD_USER_INPUT","message":"channel: is empty","errors":[
            {"code":"BAD_USER_INPUT","message":"is empty","member":"channel","index":0}]}"""
        error = from_json(text)
        assert isinstance(error, InvalidEvent)
        assert isinstance(error, ValueError)
        assert (error.errors[0]["member"], error.errors[0]["index"]) == ("channel", 0)

    def test_arguments(self) -> None:
        text = b'{"code":"BAD_USER_INPUT","message":"m","errors":[{"code":"BAD_USER_INPUT","message":"%s","member":"%s"}]}'
        empty = from_json(text % (b"must not be empty", b"query"))
        assert type(empty) is ValueError
        assert str(empty) == "query must not be empty"
        assert type(from_json(text % (b"must not be empty", b"subscription_id"))) is ValueError
        again = from_json(text.replace(b'"member"', b'"kind":"duplicate","member"') % (b"is in use", b"subscription_id"))
        assert isinstance(again, DuplicateSubscription)
        assert again.code == "BAD_USER_INPUT"

    def test_survives_pickle_and_copy(self) -> None:
        error = RateLimited("slow down", "RATE_LIMITED", [{"code": "RATE_LIMITED", "message": "slow down", "retry": 1}])
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(other) is RateLimited
            assert (other.message, other.code, other.errors) == (error.message, error.code, error.errors)


class TestSettings:
    def test_limits(self) -> None:
        assert check_limits(None) == {}
        assert check_limits({"resolver_timeout": 0.5, "queue_messages": 10}) == {"resolver_timeout": 0.5, "queue_messages": 10}

    @pytest.mark.parametrize(
        ("limits", "why"),
        [
            ({"queue_message": 1}, "^limits: unknown key 'queue_message'; did you mean 'queue_messages'\\? Allowed are con"),
            ({7: 1}, "^limits: unknown key '7'; allowed are "),
            ({"queue_messages": -1}, "must not be negative"),
            ({"queue_messages": 1.5}, "a whole number, not 1.5"),
            ({"queue_messages": True}, "a whole number, not True"),
            ({"queue_messages": "10"}, "a whole number, not '10'"),
            ({"resolver_timeout": float("inf")}, "endless"),
            ({"resolver_timeout": float("nan")}, "endless"),
            ({"resolver_timeout": None}, "a number, not None"),
        ],
    )
    def test_bad_limits(self, limits: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            check_limits(limits)

    def test_every_limit_is_named_in_the_error(self) -> None:
        with pytest.raises(ValueError, match=", ".join(LIMITS)):
            check_limits({"": 1})

    def test_limits_are_those_of_the_engine(self) -> None:
        reference = (Path(__file__).parents[2] / "docs" / "reference" / "c.md").read_text()
        _, _, table = reference.partition("| member of `limits` |")
        rows = table.partition("\n\n")[0].splitlines()[2:]
        assert sorted(name for row in rows for name in row.split("|")[1].split("`")[1::2]) == list(LIMITS)
        with SubscriptionExecutor(limits=dict.fromkeys(LIMITS, 1)) as executor:
            executor.warmup()

    def test_security(self) -> None:
        given = {"isolation": "strict", "row_filter": "user", "scope": {"user": ["owner"], "tenant": ("org",)}}
        assert check_security(given) == {**given, "scope": {"user": ["owner"], "tenant": ["org"]}}
        assert check_security(None) == {}

    @pytest.mark.parametrize(
        ("security", "why"),
        [
            ({"isolate": "strict"}, "'isolate'; did you mean 'isolation'\\? Allowed are isolation, row_filter, scope"),
            ({"isolation": "none"}, "one of strict, addressed, not 'none'"),
            ({"row_filter": []}, "one of none, tenant, user, both"),
            ({"scope": ["user"]}, "keys user and tenant"),
            ({"scope": {"users": ["a"]}}, "unknown key 'users'; did you mean 'user'\\? Allowed are user, tenant"),
            ({"scope": {"user": "owner"}}, "list of names"),
            ({"scope": {"user": []}}, "list of names"),
            ({"scope": {"user": [1]}}, "list of names"),
        ],
    )
    def test_bad_security(self, security: Any, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            check_security(security)

    def test_schema(self, tmp_path: Path) -> None:
        assert read_schema(None) is None
        assert read_schema("type Query { a: Int }") == [{"name": "schema", "text": "type Query { a: Int }"}]
        (tmp_path / "b.graphqls").write_text("type B { b: Int }")
        (tmp_path / "a.graphql").write_text("type A { é: Int }", encoding="utf-8")
        (tmp_path / "c.txt").write_text("no schema")
        one = str(tmp_path / "a.graphql")
        assert read_schema(one) == read_schema(Path(one)) == [{"name": one, "text": "type A { é: Int }"}]
        assert [source["text"] for source in read_schema(tmp_path) or ()] == ["type A { é: Int }", "type B { b: Int }"]
        assert read_schema(str(tmp_path)) == read_schema(tmp_path)

    @pytest.mark.parametrize(
        ("schema", "kind", "why"),
        [
            ("missing.graphql", ValueError, "there is no file missing.graphql"),
            (Path("nowhere"), ValueError, "there is no file nowhere"),
            ("  ", ValueError, "text is empty"),
            ("schema.sdl", ValueError, "is no SDL text, and no path: a file ends in .graphql"),
            (b"type Query { a: Int }", TypeError, "not bytes"),
            (7, TypeError, "not int"),
        ],
    )
    def test_bad_schema(self, schema: Any, kind: type[Exception], why: str) -> None:
        with pytest.raises(kind, match=why):
            read_schema(schema)

    def test_bad_folder_and_file(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="holds no"):
            read_schema(tmp_path)
        (tmp_path / "latin.graphql").write_bytes(b"type \xe9")
        with pytest.raises(ValueError, match="not UTF-8"):
            read_schema(tmp_path / "latin.graphql")


class TestIdentity:
    def test_json(self) -> None:
        moment = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
        identity = Identity(7, "t", ["a"], "read write", "f", "s", moment)
        assert identity.scopes == ("read", "write")
        assert identity._json() == (
            b'{"user_id": "7", "tenant_id": "t", "federation_id": "f", "service_name": "s", "roles": ["a"], '
            b'"scopes": ["read", "write"], "expires_at": "2030-01-02T02:04:05.000000Z"}'
        )
        assert Identity()._json() == b"{}"
        assert Identity(expires_at=0)._json() == b'{"expires_at": "1970-01-01T00:00:00.000000Z"}'
        assert Identity(token_id="j", issued_at=0)._json() == b'{"token_id": "j", "issued_at": "1970-01-01T00:00:00.000000Z"}'

    def test_of(self) -> None:
        identity = Identity("u")
        assert Identity.of(identity) is identity
        assert Identity.of({"user_id": "u", "roles": ("a",)}) == Identity("u", roles=("a",))

    @pytest.mark.parametrize(
        ("answer", "kind", "why"),
        [
            ({"user": "u"}, TypeError, "unknown key 'user'; did you mean 'user_id'\\? Allowed are user_id, tenant_id"),
            ("u", TypeError, "returns an Identity or a dict, not str"),
            (None, TypeError, "not NoneType"),
            ({"user_id": 1.5}, TypeError, "user_id is a str, not float"),
            ({"user_id": True}, TypeError, "user_id is a str, not bool"),
            ({"tenant_id": ""}, ValueError, "tenant_id is empty"),
            ({"roles": "admin"}, TypeError, "roles is a list of str, not str"),
            ({"scopes": [1]}, TypeError, "scopes is a list of str"),
            ({"roles": 1}, TypeError, "roles is a list of str, not int"),
            ({"token_id": ""}, ValueError, "token_id is empty"),
            ({"issued_at": "yesterday"}, TypeError, "issued_at is an aware datetime"),
            ({"expires_at": "tomorrow"}, TypeError, "expires_at is an aware datetime"),
            ({"expires_at": True}, TypeError, "expires_at is an aware datetime"),
            ({"expires_at": datetime.datetime(2030, 1, 1)}, ValueError, "no time zone"),
            ({"expires_at": 1e30}, ValueError, "not a time"),
            ({"expires_at": float("nan")}, ValueError, "not a time"),
        ],
    )
    def test_bad(self, answer: Any, kind: type[Exception], why: str) -> None:
        with pytest.raises(kind, match=why):
            Identity.of(answer)


class TestRequest:
    def test_scope(self) -> None:
        request = Request.from_scope(
            {
                "type": "websocket",
                "path": "/graphql",
                "query_string": b"a=1&b=x%20y&a=2",
                "headers": [(b"cookie", b'a=1; b="2"'), (b"X-Twice", b"1"), (b"x-twice", b"2"), (b"cookie", b"a=3")],
                "client": ["127.0.0.1", 7],
            }
        )
        assert (request.path, request.client, request.query_params) == ("/graphql", ("127.0.0.1", 7), {"a": "2", "b": "x y"})
        assert request.headers["X-TWICE"] == "1, 2"
        assert "Cookie" in request.headers
        assert "absent" not in request.headers
        assert 1 not in request.headers  # type: ignore[comparison-overlap]
        assert request.headers.get("absent") is None
        assert list(request.headers) == ["cookie", "x-twice"]
        assert len(request.headers) == 2
        assert request.cookies == {"a": "1", "b": "2"}
        assert request.scope["type"] == "websocket"

    def test_shows_no_secrets(self) -> None:
        request = Request([("authorization", "secret")], query_string="token=secret")
        assert "secret" not in repr(request)
        assert "secret" not in repr(request.headers)

    def test_of_the_engine(self) -> None:
        text = b"""{"headers":[["host","h"],["authorization","Bearer x"],["cookie","a=1"],["x-a","1"],["x-a","2"]],
            "path":"/g","query":"a=1","remote_addr":"[::1]:99"}"""
        request = Request.from_json(text)
        assert (request.headers["Authorization"], request.headers["X-A"]) == ("Bearer x", "1, 2")
        assert (request.path, request.query_params, request.cookies) == ("/g", {"a": "1"}, {"a": "1"})
        assert request.client == ("::1", 99)
        assert Request.from_json(None).client is None


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Model(BaseModel):
    when: datetime.date


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), "2026-01-02T03:04:05+00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(1, 2), "01:02:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("12.50"), "12.50"),
        (Colour.RED, "red"),
        (Point(1), {"x": 1, "y": 0}),
        (Model(when=datetime.date(2026, 1, 2)), {"when": "2026-01-02"}),
        (UserDict(a=1), {"a": 1}),
    ],
)
def test_conversion(value: object, want: object) -> None:
    assert default(value) == want


@pytest.mark.parametrize("value", [object(), {1}, b"x", Point, 1j])
def test_no_conversion(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        default(value)


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_decimal_that_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        default(decimal.Decimal(text))


class TestSignature:
    def test_counts(self) -> None:
        async def waits(event: Any) -> None: ...

        class Callable:
            async def __call__(self, event: Any, variables: Any) -> None: ...

        assert signature_of(lambda event: None) == (1, False)
        assert signature_of(lambda event, variables: None) == (2, False)
        assert signature_of(lambda event, variables, context: None) == (3, False)
        assert signature_of(lambda event, variables=None: None) == (2, False)
        assert signature_of(lambda event, database=None: None) == (1, False)
        assert signature_of(lambda event, variables, context=None: None) == (3, False)
        assert signature_of(lambda event, variables, cache=None: None) == (2, False)
        assert signature_of(lambda *args: None) == (2, False)
        assert signature_of(lambda event, **options: None) == (1, False)
        assert signature_of(functools.partial(lambda database, event: None, 1)) == (1, False)
        assert signature_of(waits) == (1, True)
        assert signature_of(functools.partial(waits)) == (1, True)
        assert signature_of(Callable()) == (2, True)
        assert signature_of(dict) == (1, False)

    @pytest.mark.parametrize("fn", [lambda: None, lambda a, b, c, d: None, lambda event, *, database: None, "name", None])
    def test_refused(self, fn: Any) -> None:
        with pytest.raises(TypeError, match="resolver"):
            signature_of(fn)
