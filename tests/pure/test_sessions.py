"""The session record: what is read-only, and what a store gets to keep of it."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh import Revocation, Session
from asgi_refresh.sessions import FIELDS, FrozenDict, affinity, freeze, from_row, to_row

# --- the frozen dict ------------------------------------------------------------------------------


def in_place_or(target: Any) -> None:
    target |= {"a": 2}


def delete(target: Any) -> None:
    del target["a"]


def assign(target: Any) -> None:
    target["a"] = 2


def assign_new(target: Any) -> None:
    target["b"] = 2


MUTATIONS: dict[str, Callable[[Any], object]] = {
    "d[k] = v": assign,
    "d[new] = v": assign_new,
    "del d[k]": delete,
    "|= {}": in_place_or,
    "clear()": lambda d: d.clear(),
    "pop(k)": lambda d: d.pop("a"),
    "pop(missing, default)": lambda d: d.pop("x", None),
    "popitem()": lambda d: d.popitem(),
    "setdefault(k)": lambda d: d.setdefault("a", 2),
    "setdefault(missing)": lambda d: d.setdefault("x", 2),
    "update({})": lambda d: d.update({"a": 2}),
    "update()": lambda d: d.update(),
    "update(k=v)": lambda d: d.update(a=2),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_frozen_dict_refuses(name: str) -> None:
    frozen = FrozenDict(a=1)

    with pytest.raises(TypeError, match=r"read-only; change a copy: dict\(payload\)"):
        MUTATIONS[name](frozen)
    assert frozen == {"a": 1}


def test_every_method_that_changes_a_dict_is_refused() -> None:
    changing = (set(dir(MutableMapping)) - set(dir(Mapping))) & set(dir(dict)) | {"__ior__"}

    assert len(changing) == 8
    assert changing <= set(vars(FrozenDict))


def test_a_frozen_dict_has_no_attributes_to_set() -> None:
    with pytest.raises(AttributeError):
        FrozenDict().anything = 1  # type: ignore[attr-defined]


def test_a_frozen_dict_is_json() -> None:
    claims = {"b": [1, {"c": None}], "a": "ä"}

    assert json.dumps(freeze(claims)) == json.dumps(claims)


def test_a_frozen_dict_equals_the_dict_it_was() -> None:
    assert FrozenDict(a=1) == {"a": 1}
    assert FrozenDict(a=1) != {"a": 2}
    assert isinstance(FrozenDict(), dict)


NESTED = {"a": {"b": {"c": 1}}, "d": [{"e": 2}]}


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda frozen: pickle.loads(pickle.dumps(frozen)),
    ],
    ids=["deepcopy", "pickle"],
)
def test_a_deep_copy_is_plain_and_free_at_every_depth(copied: Callable[[Any], Any]) -> None:
    frozen = freeze(NESTED)
    free = copied(frozen)

    assert [type(d) for d in (free, free["a"], free["a"]["b"], free["d"][0])] == [dict] * 4
    free["a"]["b"]["c"] = free["d"][0]["e"] = free["new"] = 9
    assert frozen == freeze(NESTED)


@pytest.mark.parametrize("copied", [dict, copy.copy, FrozenDict.copy, lambda d: d | {}])
def test_a_shallow_copy_is_plain_and_free(copied: Callable[[Any], Any]) -> None:
    frozen = FrozenDict(a=1)
    free = copied(frozen)
    free["a"] = 2

    assert type(free) is dict
    assert frozen == {"a": 1}


# --- freezing -------------------------------------------------------------------------------------


def test_freezing_reaches_every_depth() -> None:
    frozen = freeze(NESTED)

    assert type(frozen) is type(frozen["a"]) is type(frozen["a"]["b"]) is FrozenDict
    assert type(frozen["d"]) is tuple
    assert type(frozen["d"][0]) is FrozenDict


@pytest.mark.parametrize("value", ["x", 1, 1.5, True, None, "", 0])
def test_a_scalar_is_frozen_as_it_is(value: Any) -> None:
    assert freeze(value) is value


def test_a_tuple_is_frozen_too() -> None:
    assert type(freeze(({"a": 1},))[0]) is FrozenDict


def nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS: list[Callable[[Any], Any]] = [lambda v: {"a": v}, lambda v: [v], lambda v: (v,)]


@pytest.mark.parametrize("wrap", WRAPS, ids=["dict", "list", "tuple"])
def test_eight_levels_are_the_deepest(wrap: Callable[[Any], Any]) -> None:
    freeze(nested(8, wrap))
    with pytest.raises(ValueError, match="nested too deeply"):
        freeze(nested(9, wrap))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_depth_is_the_callers_to_choose(depth: int) -> None:
    freeze(nested(depth, lambda v: [v]), depth=depth)
    with pytest.raises(ValueError, match="nested too deeply"):
        freeze(nested(depth + 1, lambda v: [v]), depth=depth)


def test_a_hundred_thousand_levels_are_no_recursion_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        freeze(nested(100_000, lambda v: [v]))


# --- the record -----------------------------------------------------------------------------------

NAMES = [
    *("id", "subject", "created_at", "auth_time", "expires_at", "idle_expires_at", "current"),
    *("previous", "rotated_at", "late", "forked", "barrier_at", "access_from", "claims"),
    *("persistent", "device", "last_seen", "version"),
]
NEW = Session(
    id="s1", subject="alice", created_at=1.0, auth_time=2.0, expires_at=9.0, idle_expires_at=5.0
)


def test_the_record_has_the_fields_of_the_design_in_that_order() -> None:
    # Stores with columns keep rows in this order: a change is a migration.
    assert [f.name for f in fields(Session)] == NAMES


def test_a_row_is_in_the_order_of_the_record() -> None:
    assert list(FIELDS) == NAMES


def test_a_new_session_starts_like_this() -> None:
    started = {name: getattr(NEW, name) for name in NAMES[6:]}

    assert started == {
        "current": 1,
        "previous": None,
        "rotated_at": None,
        "late": -1,
        "forked": False,
        "barrier_at": None,
        "access_from": 0,
        "claims": {},
        "persistent": True,
        "device": None,
        "last_seen": 0.0,
        "version": 1,
    }
    assert type(NEW.claims) is FrozenDict


def test_a_session_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        NEW.subject = "mallory"  # type: ignore[misc]
    assert not hasattr(NEW, "__dict__")


def test_a_revocation_cannot_be_changed() -> None:
    revocation = Revocation("s1", 1.0, 2.0)
    with pytest.raises(FrozenInstanceError):
        revocation.session_id = "s2"  # type: ignore[misc]
    assert not hasattr(revocation, "__dict__")


def test_the_fields_of_a_session_are_given_by_name() -> None:
    assert all(f.kw_only for f in fields(Session))


@pytest.mark.parametrize(("absolute", "idle", "end"), [(9.0, 5.0, 5.0), (4.0, 5.0, 4.0)])
def test_a_session_ends_at_the_earlier_of_its_ends(
    absolute: float, idle: float, end: float
) -> None:
    assert replace(NEW, expires_at=absolute, idle_expires_at=idle).ends_at == end


@pytest.mark.parametrize(
    ("access_from", "jti", "ends"),
    [(None, None, True), (0, None, False), (1, None, False), (None, "", False), (1, "j", False)],
)
def test_only_a_revocation_of_nothing_else_ends_the_session(
    access_from: int | None, jti: str | None, ends: bool
) -> None:
    revocation = Revocation("s1", 1.0, 2.0, access_from=access_from, jti=jti)

    assert revocation.ends_session is ends


# --- rows -----------------------------------------------------------------------------------------

seconds = st.floats(allow_nan=False, allow_infinity=False)
generations = st.integers(-1, 2**53)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | seconds | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
claim_sets = st.dictionaries(st.text(), json_values, max_size=3).filter(
    lambda claims: depth_of(claims) <= 8
)
sessions = st.builds(
    Session,
    id=st.text(),
    subject=st.text(),
    created_at=seconds,
    auth_time=seconds,
    expires_at=seconds,
    idle_expires_at=seconds,
    current=generations,
    previous=st.none() | generations,
    rotated_at=st.none() | seconds,
    late=generations,
    forked=st.booleans(),
    barrier_at=st.none() | seconds,
    access_from=generations,
    claims=claim_sets.map(freeze),
    persistent=st.booleans(),
    device=st.none() | st.text(),
    last_seen=seconds,
    version=generations,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(session=sessions)
def test_a_row_gives_the_session_back(session: Session) -> None:
    assert from_row(to_row(session)) == session


@given(session=sessions)
def test_a_row_gives_it_back_from_a_database_without_booleans_and_tuples(session: Session) -> None:
    row = [int(value) if isinstance(value, bool) else value for value in to_row(session)]
    back = from_row(row)

    assert back == session
    assert (type(back.forked), type(back.persistent)) == (bool, bool)


@given(session=sessions)
def test_a_row_holds_only_what_a_column_can(session: Session) -> None:
    row = to_row(session)

    assert len(row) == len(NAMES)
    assert {type(value) for value in row} <= {str, int, float, bool, type(None)}


def test_claims_are_one_compact_json_text() -> None:
    row = to_row(replace(NEW, claims=freeze({"roles": ["a", "b"], "n": {"x": 1}})))

    assert row[NAMES.index("claims")] == '{"roles":["a","b"],"n":{"x":1}}'


def test_claims_come_back_read_only_at_every_depth() -> None:
    back = from_row(to_row(replace(NEW, claims={"a": {"b": [1]}})))

    assert type(back.claims) is type(back.claims["a"]) is FrozenDict
    assert back.claims["a"]["b"] == (1,)


@pytest.mark.parametrize("row", [to_row(NEW)[:-1], (*to_row(NEW), 1), ()])
def test_a_row_of_another_length_is_refused(row: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="zip"):
        from_row(row)


def test_a_subclass_of_str_is_no_list() -> None:
    class Name(str):
        __slots__ = ()

    assert freeze({"a": Name("ab")}) == {"a": "ab"}


@pytest.mark.parametrize("subject", ["", "alice", "\udcff"])
def test_what_the_ids_of_a_subject_begin_with_is_four_hex_digits_of_its_hash(subject: str) -> None:
    digest = hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()

    assert affinity(subject) == digest[:4]
