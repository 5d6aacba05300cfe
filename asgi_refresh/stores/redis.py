"""
The store for many hosts: Redis 7 or Valkey, alone or as a cluster, through redis-py.

Every operation is one Lua script, so it is atomic, and touches the keys of one shard, which lie in
one slot of a cluster. A session is one string that Redis drops by itself when the session is over;
a shard's log of revocations is a stream, which numbers its entries in the order they were written.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster

from asgi_refresh.sessions import Revocation, Session, affinity, from_row, to_row
from asgi_refresh.store import BATCH

from . import lua

_CLUSTER_SHARDS: Final = 64
_LOG_STAYS: Final = 3600.0  # seconds that a log outlives its entries, where nobody purges


class RedisStore:
    """
    Keeps sessions in Redis (7 or newer) or Valkey. On asyncio only, as redis-py is.

    The server must not evict keys (`maxmemory-policy noeviction`), and should write them to disk.

    Args:
        client: A `redis.asyncio.Redis` or `RedisCluster` of the application's own, or a URL as
            `open_store` takes it, for which a client with a pool that waits is made.
        prefix: What every key begins with, to keep applications apart.
        shards: Into how many slots of a cluster the keys are spread; 64 on a cluster, else one.
            Every process must say the same, and changing it ends every session.
    """

    def __init__(
        self, client: Redis | RedisCluster | str, *, prefix: str = "refresh", shards: int = 0
    ) -> None:
        self._owns = isinstance(client, str)
        if isinstance(client, str):
            client = _connect(client)
        if not 0 <= shards <= 16384 or set("{}") & set(prefix):
            raise ValueError("shards: 1 to 16384; a prefix is without braces")
        self._client: Any = client
        self._shards = shards or (_CLUSTER_SHARDS if isinstance(client, RedisCluster) else 1)
        self._tags = [f"{{{prefix}:{number}}}:" for number in range(self._shards)]

    def __repr__(self) -> str:
        return f"<RedisStore {self._tags[0]}, {self._shards} shards>"

    async def add(self, session: Session) -> None:
        """Keep a new session; ValueError if its id exists, or begins unlike its subject's."""
        tag = self._tag(session.id)
        if tag != self._tag(affinity(session.subject)):
            raise ValueError("a session's id begins with the affinity of its subject")
        added = await lua.ADD.run(
            self._client,
            [f"{tag}s:{session.id}", f"{tag}u:{session.subject}"],
            _pack(session),
            _milliseconds(session.ends_at - session.last_seen),
            session.id,
            session.created_at,
            f"{tag}s:",
            _milliseconds(session.expires_at - session.last_seen),
        )
        if not added:
            raise ValueError("a session of this id exists")

    async def get(self, session_id: str) -> Session | None:
        """Return the session; None if there is none."""
        row = await self._client.get(f"{self._tag(session_id)}s:{session_id}")
        return None if row is None else _unpack(session_id, row)

    async def replace(
        self, old: Session, new: Session, revocation: Revocation | None = None
    ) -> bool:
        """Put *new* in the place of *old*; False if that is no longer what is kept."""
        tag = self._tag(old.id)
        logged = () if revocation is None else (revocation.session_id, *_entry(revocation))
        replaced = await lua.REPLACE.run(
            self._client,
            [f"{tag}s:{old.id}", f"{tag}log"],
            old.version,
            _pack(new),
            # From the last use on: marking a late recovery may keep it longer, never shorter.
            _milliseconds(new.ends_at - new.last_seen),
            *logged,
        )
        return bool(replaced)

    async def revoke(self, session_id: str, revocation: Revocation) -> bool:
        """Delete the session and log *revocation*."""
        tag = self._tag(session_id)
        keys = [f"{tag}s:{session_id}", f"{tag}log"]
        ended = await lua.REVOKE.run(
            self._client, keys, session_id, f"{tag}u:", *_entry(revocation)
        )
        return bool(ended)

    async def revoke_subject(self, subject: str, revocation: Revocation) -> int:
        """Delete every session of *subject*, logging each."""
        tag = self._tag(affinity(subject))
        keys = [f"{tag}u:{subject}", f"{tag}log"]
        return int(
            await lua.REVOKE_SUBJECT.run(self._client, keys, f"{tag}s:", *_entry(revocation))
        )

    async def find(self, subject: str) -> list[Session]:
        """Return the sessions of *subject*."""
        tag = self._tag(affinity(subject))
        found = await lua.FIND.run(self._client, [f"{tag}u:{subject}"], f"{tag}s:")
        return [_unpack(_text(key), row) for key, row in zip(found[::2], found[1::2], strict=True)]

    async def revocations(self, cursor: str | None) -> tuple[list[Revocation], str]:
        """
        Return what was logged since *cursor*: the last entry seen in every shard.

        Where that entry is gone, purged or lost with a primary, the shard is read from its begin.
        """
        last = cursor.split() if cursor else []
        if len(last) != self._shards:
            last = ["-"] * self._shards
        pages = await self._pages(range(self._shards), last)
        lost = [
            shard
            for shard, page in enumerate(pages)
            if last[shard] != "-" and (not page or _text(page[0][0]) != last[shard])
        ]
        if lost:
            again = await self._pages(lost, ["-"] * self._shards)
            for shard, page in zip(lost, again, strict=True):
                pages[shard] = page
        entries = [
            _revocation(fields)
            for shard, page in enumerate(pages)
            for number, fields in page
            if _text(number) != last[shard]
        ]
        seen = [_text(page[-1][0]) if page else "-" for page in pages]
        return entries, " ".join(seen)

    async def _pages(self, shards: Any, last: list[str]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for shard in shards:
            pipeline.xrange(f"{self._tags[shard]}log", last[shard], "+", count=BATCH + 1)
        return cast("list[Any]", await pipeline.execute())

    async def purge(self, now: float) -> int:
        """
        Drop revocations that are over, of the oldest in every shard; sessions go by themselves.

        Entries end in the order they were written, but for a difference of clocks.
        """
        gone = 0
        for tag in self._tags:
            gone += int(await lua.PURGE.run(self._client, [f"{tag}log"], now, BATCH))
        return gone

    async def close(self) -> None:
        """Close the connections, where the store was made from a URL."""
        if self._owns:
            await self._client.aclose()

    def _tag(self, session_id: str) -> str:
        if self._shards == 1:
            return self._tags[0]
        try:
            return self._tags[int(session_id[:4], 16) % self._shards]
        except ValueError:  # no id of ours
            return self._tags[0]


def _connect(url: str) -> Redis | RedisCluster:
    scheme, _, rest = url.partition(":")
    kind, cluster, _ = scheme.partition("+cluster")
    url = f"{kind.replace('valkey', 'redis')}:{rest}"
    if cluster:
        return RedisCluster.from_url(url)
    pool: Any = BlockingConnectionPool  # untyped keywords
    return Redis.from_pool(pool.from_url(url))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _pack(session: Session) -> str:
    """Return the row as JSON: without the id, and the version last, where `lua.REPLACE` looks."""
    return json.dumps(to_row(session)[1:], separators=(",", ":"))


def _unpack(session_id: str, row: str | bytes) -> Session:
    return from_row((session_id, *json.loads(row)))


def _entry(revocation: Revocation) -> tuple[Any, ...]:
    kept = [revocation.at, revocation.until, revocation.access_from, revocation.jti]
    stays = _milliseconds(revocation.until - revocation.at + _LOG_STAYS)
    return repr(revocation.until), json.dumps(kept), stays


def _revocation(fields: dict[Any, Any]) -> Revocation:
    texts = {_text(name): _text(value) for name, value in fields.items()}
    return Revocation(texts["id"], *json.loads(texts["entry"]))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
