"""
The operations of `RedisStore`: one script each, over the keys of one slot.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from redis.exceptions import NoScriptError

# KEYS: the log. ARGV, from the given place: session id, until, entry, milliseconds to keep the log.
_LOG: Final = """
local function log(key, id, at)
    redis.call('XADD', key, '*', 'id', id, 'until', ARGV[at], 'entry', ARGV[at + 1])
    if redis.call('PTTL', key) < tonumber(ARGV[at + 2]) then
        redis.call('PEXPIRE', key, ARGV[at + 2])
    end
end
"""


class Script:
    """A script by its digest, sent in full where the server does not know it yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Any, keys: list[str], *arguments: Any) -> Any:
        """Return what the script returns for *keys*, all of one slot, and *arguments*."""
        try:
            return await client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *arguments)


# KEYS: session, index of the subject. ARGV: row, ms to live, id, begin, what session keys start
# with, ms that the session lives at most. Sessions that ended by themselves leave the index here.
ADD: Final = Script("""
if not redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 0 end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, 31)) do
    if redis.call('EXISTS', ARGV[5] .. id) == 0 then redis.call('ZREM', KEYS[2], id) end
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[6]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
return 1
""")

# KEYS: session, log. ARGV: version, row, ms to live[, and what is to be logged].
REPLACE: Final = Script(
    _LOG
    + """
local row = redis.call('GET', KEYS[1])
if not row or string.match(row, '(%d+)]$') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if ARGV[4] then log(KEYS[2], ARGV[4], 5) end
return 1
"""
)

# KEYS: session, log. ARGV: id, what indexes start with, and what is to be logged.
REVOKE: Final = Script(
    _LOG
    + """
log(KEYS[2], ARGV[1], 3)
local row = redis.call('GET', KEYS[1])
if not row then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', ARGV[2] .. cjson.decode(row)[1], ARGV[1])
return 1
"""
)

# KEYS: index, log. ARGV: what session keys start with, and what is to be logged for each.
REVOKE_SUBJECT: Final = Script(
    _LOG
    + """
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if redis.call('DEL', ARGV[1] .. id) == 1 then
        log(KEYS[2], id, 2)
        ended = ended + 1
    end
end
redis.call('DEL', KEYS[1])
return ended
"""
)

# KEYS: index. ARGV: what session keys start with.
FIND: Final = Script("""
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local row = redis.call('GET', ARGV[1] .. id)
    if row then
        found[#found + 1] = id
        found[#found + 1] = row
    else
        redis.call('ZREM', KEYS[1], id)
    end
end
return found
""")

# KEYS: log. ARGV: now, how many to look at.
PURGE: Final = Script("""
local gone = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[2])) do
    if tonumber(entry[2][4]) <= tonumber(ARGV[1]) then gone[#gone + 1] = entry[1] end
end
if #gone > 0 then redis.call('XDEL', KEYS[1], unpack(gone)) end
return #gone
""")
