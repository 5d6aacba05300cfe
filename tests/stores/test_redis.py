"""What `RedisStore` adds to the contract: slots, times to live, and clients of all kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from asgi_refresh.errors import InvalidTokenError
from asgi_refresh.sessions import Session, affinity
from asgi_refresh.store import BATCH
from asgi_refresh.stores import RedisStore
from asgi_refresh.testing.replay import logged
from asgi_refresh.testing.samples import FULL, NOW, a_session
from tests.stores.support import Place, ends, kinds, unique
from tests.support import Clock, make_issuer

pytestmark = pytest.mark.anyio

KINDS = ("redis", "redis-16", "valkey")
ONLY_ON = ("asyncio",)
ONE = kinds("redis")
DAY = 86400.0


async def keys_of(place: Place) -> dict[str, str]:
    """All keys of *place*, and their types."""
    client = place.client(decode_responses=True)
    names = [name async for name in client.scan_iter(f"{{{place.prefix}:*", count=10_000)]
    return {name: await client.type(name) for name in names}


async def milliseconds_left(place: Place, part: str) -> int:
    """The time to live of the one key with *part* in its name."""
    [name] = [name for name in await keys_of(place) if part in name]
    return int(await place.client().pttl(name))


def tag_of(name: str) -> str:
    return name[name.index("{") : name.index("}")]


# --- keys -----------------------------------------------------------------------------------------


async def test_all_of_a_subject_lies_in_one_slot(place: Place, store: Any) -> None:
    for number in range(5):
        await store.add(a_session(number))
    await store.revoke(a_session(0).id, ends(a_session(0).id))

    names = await keys_of(place)
    assert sorted(names.values()) == ["stream", *["string"] * 4, "zset"]
    assert len({key_slot(name.encode()) for name in names}) == 1
    assert all(name.startswith(f"{{{place.prefix}:") for name in names)


async def test_subjects_are_spread_over_the_shards(place: Place, store: Any) -> None:
    for number in range(60):
        await store.add(a_session(number, f"user{number}"))

    tags = {tag_of(name) for name in await keys_of(place)}
    wanted = {int(affinity(f"user{number}"), 16) % store._shards for number in range(60)}
    assert tags == {f"{{{place.prefix}:{shard}" for shard in wanted}
    assert len(tags) > 10 or place.kind != "redis-16"


async def test_every_key_has_a_time_to_live(place: Place, store: Any) -> None:
    await store.add(a_session(1))
    await store.add(a_session(2, "bob"))
    await store.replace(a_session(1), a_session(1, version=2), ends(a_session(1).id, jti="j"))
    await store.revoke("unknown", ends("unknown"))

    left = {name: await place.client().pttl(name) for name in await keys_of(place)}
    assert len(left) >= 5
    assert all(milliseconds > 0 for milliseconds in left.values()), left


@ONE
async def test_a_session_goes_at_its_own_end_whatever_the_servers_clock(
    place: Place, store: Any
) -> None:
    # NOW is not the server's time: what counts is how long the session has, from its last use.
    await store.add(a_session(idle_expires_at=NOW + 14 * DAY, expires_at=NOW + 90 * DAY))
    assert 14 * DAY - 30 < await milliseconds_left(place, "s:") / 1000 <= 14 * DAY
    used = a_session(
        version=2,
        last_seen=NOW + 80 * DAY,
        idle_expires_at=NOW + 94 * DAY,
        expires_at=NOW + 90 * DAY,
    )
    await store.replace(a_session(), used)

    assert 10 * DAY - 30 < await milliseconds_left(place, "s:") / 1000 <= 10 * DAY


@ONE
async def test_an_index_lives_as_long_as_the_longest_of_its_sessions(
    place: Place, store: Any
) -> None:
    await store.add(a_session(1, expires_at=NOW + 90 * DAY))
    await store.add(a_session(2, expires_at=NOW + 5 * DAY))

    assert 90 * DAY - 30 < await milliseconds_left(place, "u:") / 1000 <= 90 * DAY


@ONE
async def test_a_session_that_has_ended_goes_by_itself(store: Any) -> None:
    await store.add(a_session(idle_expires_at=NOW + 0.05))
    with anyio.fail_after(5):
        while await store.get(a_session().id) is not None:  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.01)

    assert await store.find("alice") == []
    assert not await store.replace(a_session(), a_session(version=2))


@ONE
async def test_an_index_is_pruned_of_sessions_that_ended(place: Place, store: Any) -> None:
    client = place.client()
    for number in range(40):
        await store.add(a_session(number, created_at=NOW + number))
    [index] = [name for name, kind in (await keys_of(place)).items() if kind == "zset"]
    for number in range(35):
        await client.delete(index.replace("u:alice", f"s:{a_session(number).id}"))
    assert await client.zcard(index) == 40
    await store.add(a_session(99))
    assert await client.zcard(index) == 41 - 32
    assert len(await store.find("alice")) == 6

    assert await client.zcard(index) == 6


@ONE
async def test_the_last_session_takes_the_index_with_it(place: Place, store: Any) -> None:
    for number in range(3):
        await store.add(a_session(number))
    await store.revoke(a_session(0).id, ends(a_session(0).id))
    await store.revoke_subject("alice", ends(""))

    assert set((await keys_of(place)).values()) == {"stream"}


@ONE
async def test_a_session_that_is_revoked_leaves_the_index(place: Place, store: Any) -> None:
    for number in range(3):
        await store.add(a_session(number))
    [index] = [name for name, kind in (await keys_of(place)).items() if kind == "zset"]
    for number in range(3):
        assert await place.client().zcard(index) == 3 - number
        await store.revoke(a_session(number).id, ends(a_session(number).id))

    assert set((await keys_of(place)).values()) == {"stream"}


@ONE
async def test_what_a_session_takes_is_constant(place: Place, store: Any) -> None:
    client, session, taken = place.client(), a_session(current=100, device="phone"), set()
    await store.add(session)
    for number in range(200):
        new = replace(
            session,
            version=session.version + 1,
            current=101 + number,
            previous=100 + number,
            rotated_at=NOW + number,
            last_seen=NOW + number,
        )
        assert await store.replace(session, new)
        session = new
        if session.version in (10, 50, 99, 200):
            names = await keys_of(place)
            taken.add(sum([await client.memory_usage(name) for name in names]))

    assert max(taken) - min(taken) <= 32  # digits more
    assert max(taken) < 1000


# --- the log --------------------------------------------------------------------------------------


@ONE
async def test_a_log_outlives_its_entries_by_an_hour(place: Place, store: Any) -> None:
    await store.revoke("a", ends("a", until=NOW + 600))
    assert 4170 < await milliseconds_left(place, "log") / 1000 <= 4200
    await store.revoke("b", ends("b", until=NOW + 6000))
    await store.revoke("c", ends("c", until=NOW + 60))

    assert 9570 < await milliseconds_left(place, "log") / 1000 <= 9600


@ONE
async def test_a_cursor_ahead_of_the_log_reads_it_from_its_begin(place: Place, store: Any) -> None:
    # A primary was lost, and the clock of the one that took over is behind.
    await store.revoke("lost", ends("lost"))
    client, [log] = place.client(), list(await keys_of(place))
    [(_, fields)] = await client.xrange(log)
    await client.xadd(log, fields, id="99999999999999-0")
    _, cursor = await store.revocations(None)
    await client.delete(log)
    await store.revoke("new", ends("new"))

    assert await logged(store, cursor) == [ends("new")]


async def test_purge_trims_the_log_wherever_its_entries_are(place: Place, store: Any) -> None:
    for number in range(20):
        name = a_session(number, f"user{number}").id
        await store.revoke(name, ends(name, until=NOW + number))
    assert await store.purge(NOW + 9.5) == 10
    assert await store.purge(NOW + 9.5) == 0

    left = {entry.until for entry in await logged(store)}
    assert left == {NOW + number for number in range(10, 20)}


@ONE
async def test_purge_takes_no_more_than_a_batch_at_a_time(place: Place, store: Any) -> None:
    name = "0" * 32
    await store.revoke(name, ends(name, until=NOW))
    client, [log] = place.client(), list(await keys_of(place))
    [(_, fields)] = await client.xrange(log)
    pipeline = client.pipeline(transaction=False)
    for _ in range(BATCH + 99):
        pipeline.xadd(log, fields)
    await pipeline.execute()

    assert [await store.purge(NOW) for _ in range(3)] == [BATCH, 100, 0]


# --- clients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 2}, {"protocol": 3}])
async def test_clients_of_all_settings_do(place: Place, options: dict[str, Any]) -> None:
    store = RedisStore(place.client(**options), prefix=place.prefix, shards=3)
    await store.add(FULL)
    assert await store.get(FULL.id) == FULL
    assert await store.find(FULL.subject) == [FULL]
    _, cursor = await store.revocations(None)
    assert await store.replace(FULL, replace(FULL, version=20), ends(FULL.id, access_from=2))
    assert await store.revoke(FULL.id, ends(FULL.id, jti="j"))
    entries, cursor = await store.revocations(cursor)

    assert entries == [ends(FULL.id, access_from=2), ends(FULL.id, jti="j")]
    assert await store.revocations(cursor) == ([], cursor)


async def test_a_server_that_forgot_the_scripts_gets_them_again(own_redis: int) -> None:
    async with Redis(port=own_redis) as client:
        store = RedisStore(client, prefix=unique())
        for number in range(3):
            await client.script_flush()
            await store.add(a_session(number))
        await client.script_flush()
        assert len(await store.find("alice")) == 3
        await client.script_flush()
        assert await store.revoke_subject("alice", ends("")) == 3


async def test_a_store_made_from_a_url_closes_its_connections(own_redis: int) -> None:
    async def named() -> int:
        return sum(entry["name"] == "closes" for entry in await client.client_list())

    async with Redis(port=own_redis) as client:
        store = RedisStore(f"redis://127.0.0.1:{own_redis}?client_name=closes", prefix=unique())
        for _ in range(2):  # the next call opens it again
            assert await store.get("unknown") is None
            assert await named() == 1
            await store.close()
            with anyio.fail_after(5):
                while await named():  # noqa: ASYNC110 - nothing tells when
                    await anyio.sleep(0.01)


async def test_a_client_of_the_application_stays_open(own_redis: int) -> None:
    async with Redis(port=own_redis) as client:
        store = RedisStore(client, prefix=unique())
        await store.get("unknown")
        await store.close()

        assert await client.ping() is True
        assert len(client.connection_pool._available_connections) == 1


async def test_a_url_makes_a_pool_that_waits_for_a_connection(own_redis: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{own_redis}?max_connections=2", prefix=unique())
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(store.add, a_session(number))

    assert len(await store.find("alice")) == 50
    await store.close()


# --- settings -------------------------------------------------------------------------------------


@kinds("redis-16")
@pytest.mark.parametrize("session_id", [f"{int(affinity('alice'), 16) ^ 1:04x}" + "0" * 28, "zz"])
async def test_an_id_without_the_affinity_of_its_subject_is_refused(
    place: Place, store: Any, session_id: str
) -> None:
    wrong: Session = replace(a_session(), id=session_id)
    if store._tag(session_id) == store._tag(affinity("alice")):
        pytest.fail("the ids of this test are in the right shard")
    with pytest.raises(ValueError, match="begins with the affinity of its subject"):
        await store.add(wrong)

    assert await keys_of(place) == {}


@ONE
async def test_with_one_shard_any_id_will_do(store: Any) -> None:
    session = replace(a_session(), id="s1")
    await store.add(session)

    assert await store.find("alice") == [session]


@pytest.mark.parametrize(
    "settings", [{"shards": -1}, {"shards": 16385}, {"prefix": "a{b"}, {"prefix": "a}"}]
)
async def test_settings_that_cannot_be_are_refused(settings: Any) -> None:
    client: Any = object()
    with pytest.raises(ValueError, match="shards: 1 to 16384; a prefix is without braces"):
        RedisStore(client, **settings)


async def test_a_cursor_of_another_number_of_shards_reads_from_the_begin(place: Place) -> None:
    one = RedisStore(place.client(), prefix=place.prefix, shards=1)
    four = RedisStore(place.client(), prefix=place.prefix, shards=4)
    name = "0" * 32
    await one.revoke(name, ends(name))
    _, cursor = await four.revocations(None)
    entries, _ = await one.revocations(cursor)

    assert entries == [ends(name)]


@ONE
async def test_its_repr_names_its_keys(place: Place, store: Any) -> None:
    assert repr(store) == f"<RedisStore {{{place.prefix}:0}}:, 1 shards>"


# --- the worst ------------------------------------------------------------------------------------


async def test_after_a_flush_every_session_is_dead_and_refuses(
    own_redis: int, clock: Clock
) -> None:
    async with Redis(port=own_redis) as client:
        store = RedisStore(client, prefix=unique())
        issuer = make_issuer(clock, store=store)
        tokens = await issuer.issue("alice")
        await client.flushall()
        with pytest.raises(InvalidTokenError) as caught:
            await issuer.refresh(tokens.refresh_token)
        assert caught.value.reason == "session_ended"
        old, new = await issuer.issue("alice"), await issuer.issue("alice")
        await issuer.revoke(old.session_id)

        assert [s.id for s in await issuer.sessions("alice")] == [new.session_id]
        with pytest.raises(InvalidTokenError):
            await issuer.authenticate(old.access_token)
