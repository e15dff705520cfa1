"""The walk from Python values to JSON and back, compared with json of the standard library."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import random
import uuid
from typing import Any, NamedTuple

import fraiseql.subscriptions  # noqa: F401 - configures the module
import pytest
from fraiseql import _native

CHARACTERS = 'abc "\\/\b\f\n\r\t\x00\x1f\x7f\x80é߿ࠀ\u2028\ud7ff\ue000￿\U00010000\U0010ffff'


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.Enum):
    RED = "red"


class Text(str, enum.Enum):
    ONE = "one"


class Number(enum.IntEnum):
    SEVEN = 7


class Hidden(int):
    def __repr__(self) -> str:
        raise AssertionError("not asked")

    __str__ = __repr__


class Weight(float):
    def __repr__(self) -> str:
        raise AssertionError("not asked")


def text(source: random.Random) -> str:
    return "".join(source.choice(CHARACTERS) for _ in range(source.randrange(40)))


def number(source: random.Random) -> float:
    kind = source.randrange(6)
    if kind == 0:
        return source.choice(
            [0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e15, 1e16, 9007199254740993.0, 1e-4, 9.999e-5, 1e22, 1e23]
        )
    if kind == 1:
        return round(source.uniform(-1e6, 1e6), source.randrange(8))
    if kind == 2:
        return source.uniform(-1, 1) * 10.0 ** source.randrange(-300, 300)
    if kind == 3:
        return float(source.randrange(-(10**17), 10**17))
    return source.random()


def value(source: random.Random, depth: int = 0) -> Any:
    kind = source.randrange(8 if depth < 5 else 5)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.randrange(-(2**80), 2**80) >> source.randrange(80)
    if kind == 2:
        return number(source)
    if kind in (3, 4):
        return text(source)
    if kind == 5:
        return [value(source, depth + 1) for _ in range(source.randrange(6))]
    return {text(source): value(source, depth + 1) for _ in range(source.randrange(6))}


@pytest.mark.parametrize("seed", range(20))
def test_round_trip(seed: int, full: bool) -> None:
    source = random.Random(seed)
    for _ in range(500 if full else 50):
        one = value(source)
        written = _native.dumps(one)
        assert repr(json.loads(written)) == repr(one)
        assert repr(_native.loads(written)) == repr(one)
        assert repr(_native.loads(json.dumps(one, indent=1))) == repr(one)
        assert repr(_native.loads(json.dumps(one, ensure_ascii=False).encode())) == repr(one)


@pytest.mark.parametrize("seed", range(20))
def test_floats_are_written_as_repr(seed: int, full: bool) -> None:
    source = random.Random(seed)
    for _ in range(20_000 if full else 1_000):
        one = number(source)
        assert _native.dumps(one) == repr(one).encode()
        assert repr(_native.loads(repr(one))) == repr(one)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_not_json_is_refused_as_json_does(seed: int, full: bool) -> None:
    source = random.Random(seed)
    for _ in range(2_000 if full else 200):
        written = bytearray(_native.dumps(value(source)))
        for _ in range(3):
            written[source.randrange(len(written))] = source.choice(b'{}[]",:0129-+.eE\\u tfn\x00\x1f\xff')
        try:
            wanted = repr(json.loads(written.decode()))
        except ValueError:
            wanted = None
        try:
            got = repr(_native.loads(bytes(written)))
        except ValueError:
            got = None
        # json knows NaN and Infinity, which are no JSON.
        assert got == wanted or (got is None and wanted is not None and ("nan" in wanted or "inf" in wanted))


@pytest.mark.parametrize(
    "cut",
    [b"", b" ", b"{", b"[", b'"', b'"\\', b'"\\u12', b'"\\ud800\\u', b"-", b"1.", b"1e", b"01", b"tru", b"[1,]", b'{"a"}', b'{"a":}',
     b"{,}", b"1 2", b'"\x01"', b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b"nul", b"[1 2]", b"{1:2}", b"+1", b".5", b'{"a":1,}'],
)  # fmt: skip
def test_malformed(cut: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|utf-8"):
        _native.loads(cut)


def test_surrogates_are_read_and_not_written() -> None:
    assert _native.loads('"\\ud83d\\ude00"') == "😀"
    assert _native.loads('"\\ud800x"') == "\ud800x"
    for bad in ("\ud800", {"a": "x\udfff"}, {"\udc00": 1}):
        with pytest.raises(ValueError, match="lone surrogate"):
            _native.dumps(bad)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (2**63, b"9223372036854775808"),
        (-(2**63), b"-9223372036854775808"),
        (2**200, str(2**200).encode()),
        (-0.0, b"-0.0"),
        (1e16, b"1e+16"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (5e-324, b"5e-324"),
        (True, b"true"),
        (Number.SEVEN, b"7"),
        (Text.ONE, b'"one"'),
        (Colour.RED, b'"red"'),
        ((1, (2,), []), b"[1,[2],[]]"),
        ({}, b"{}"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), b'"2026-01-02T03:04:05+00:00"'),
        (uuid.UUID(int=5), b'"00000000-0000-0000-0000-000000000005"'),
        (decimal.Decimal("1.10"), b'"1.10"'),
        (Pair(1, 2), b"[1,2]"),
        (collections.defaultdict(list, a=[1]), b'{"a":[1]}'),
        (collections.Counter("aab"), b'{"a":2,"b":1}'),
        ("\x00\x1f\x7f", b'"\\u0000\\u001f\x7f"'),
        ('"\\/\b\f\n\r\t', b'"\\"\\\\/\\b\\f\\n\\r\\t"'),
        ("\u2028é😀", '"\u2028é😀"'.encode()),
    ],
)
def test_written(given: Any, written: bytes) -> None:
    assert _native.dumps(given) == written


def test_numbers_that_show_themselves_otherwise() -> None:
    assert _native.dumps([Hidden(5), Hidden(2**70), Weight(1.5), Weight(1e300)]) == f"[5,{2**70},1.5,1e+300]".encode()


def test_order_of_an_ordered_dict() -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert _native.dumps(ordered) == b'{"b":2,"a":1}'


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"items": [0, 1, 2, {"price": math.nan}]}, ValueError, r"^value\.items\[3\]\.price: JSON has no NaN"),
        ({"a": math.inf}, ValueError, r"^value\.a: JSON has no NaN and no infinity"),
        ({"a": {"b": object()}}, TypeError, r"^value\.a\.b: object has no JSON form"),
        ({"a": {b"k": 1}}, TypeError, r"^value\.a: keys must be str, not bytes"),
        ({1: 1}, TypeError, r"^value: keys must be str, not int"),
        ({"a": b"bytes"}, TypeError, r"^value\.a: bytes has no JSON form"),
        ({"two words": [{1, 2}]}, TypeError, r"^value\['two words'\]\[0\]: set has no JSON form"),
        ({"a": decimal.Decimal("nan")}, ValueError, r"^value\.a: NaN is not a number"),
        ({"a": ["\ud800"]}, ValueError, r"^value\.a\[0\]: a lone surrogate"),
    ],
)
def test_refused(given: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        _native.dumps(given)


def nested(depth: int, kind: str) -> Any:
    one: Any = 1
    for level in range(depth):
        one = [one] if kind == "lists" or (kind == "both" and level % 2) else {"a": one}
    return one


@pytest.mark.parametrize("kind", ["lists", "dicts", "both"])
def test_depth(kind: str) -> None:
    assert json.loads(_native.dumps(nested(64, kind))) == nested(64, kind)
    with pytest.raises(ValueError, match="64 levels"):
        _native.dumps(nested(65, kind))


def test_what_contains_itself() -> None:
    items: list[Any] = []
    items.append(items)
    members: dict[str, Any] = {}
    members["again"] = members
    for one in (items, members):
        with pytest.raises(ValueError, match="64 levels"):
            _native.dumps(one)


class Meddler:
    """Asked for its form, it changes what it is in."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def model_dump(self, mode: str) -> Any:
        self.change()
        return mode


def test_change_while_it_is_walked() -> None:
    items: list[Any] = [1]
    items += [Meddler(items.clear), 2, 3]
    assert _native.dumps(items) == b'[1,"json"]'
    for name in ("clear", "popitem", "copy"):
        members: dict[str, Any] = {"b": 2, "c": "x" * 1000}
        members = {"a": Meddler(getattr(members, name)), "nested": members}
        assert json.loads(_native.dumps(members))["a"] == "json"
    for name in ("clear", "popitem"):
        members = {}
        members.update(a=Meddler(getattr(members, name)), b=2, c="x" * 1000)
        with pytest.raises(ValueError, match="changed size"):
            _native.dumps(members)


def test_large_values() -> None:
    one = {"text": 'é"' * 600_000, "numbers": list(range(100_000))}
    assert json.loads(_native.dumps(one)) == one
    assert _native.loads(_native.dumps(one)) == one
