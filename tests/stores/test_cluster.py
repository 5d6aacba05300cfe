"""What every store must do, on a Redis Cluster of three nodes, which only this file starts."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot

from asgi_refresh.stores import open_store
from asgi_refresh.testing.samples import a_session
from tests.stores import test_contract, test_differential, test_live, test_log
from tests.stores.support import Place, those_for

pytestmark = pytest.mark.anyio
KINDS = ("cluster",)

globals().update(those_for("cluster", test_contract, test_differential, test_live, test_log))


async def test_the_keys_of_a_subject_share_a_slot_and_sessions_are_on_every_node(
    place: Place, store: Any
) -> None:
    client = place.client()
    sessions = [a_session(number, f"user{number // 2}") for number in range(120)]
    for session in sessions:
        await store.add(session)
    names = [name async for name in client.scan_iter(f"{{{place.prefix}:*", count=10_000)]
    slots: dict[str, set[int]] = {}
    for session in sessions:
        mine = [
            n
            for n in names
            if session.id in n.decode() or n.decode().endswith(f"u:{session.subject}")
        ]
        slots.setdefault(session.subject, set()).update(key_slot(name) for name in mine)
        assert len(mine) == 2
    nodes = {client.get_node_from_key(name).port for name in names}

    assert all(len(found) == 1 for found in slots.values())
    assert len({slot for found in slots.values() for slot in found}) > 20
    assert nodes == set(place.address)


async def test_on_a_cluster_there_are_64_shards(store: Any) -> None:
    assert store._shards == 64


async def test_a_cluster_that_open_store_opened_is_closed_with_the_store(place: Place) -> None:
    store: Any = open_store(f"redis+cluster://127.0.0.1:{place.address[0]}")
    await store.revocations(None)
    connections = [c for node in store._client.get_nodes() for c in node._connections]
    assert any(connection.is_connected for connection in connections)
    await store.close()
    left = [connection for connection in connections if connection.is_connected]
    await store._client.aclose()

    assert left == []


async def test_a_scripts_digest_is_learned_by_every_node(place: Place, store: Any) -> None:
    await place.client().script_flush()
    for number in range(30):
        await store.add(a_session(number, f"user{number}"))

    assert [len(await store.find(f"user{number}")) for number in range(30)] == [1] * 30
