"""A `ConversationStore` in Redis. Each write is one Lua script, so that it happens as a whole or not at all.

PREFIX:owner:NAME   id of the engine that owns it; expires with the lease
PREFIX:seq:NAME     hash: seq of the last checkpoint, and the limit of numbers used
PREFIX:state:NAME   see `conversation/saved_state.py`
PREFIX:events:NAME  list of the latest events, as JSON
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from engine.store.shared.conversation_store import (
    Checkpoint,
    ConversationStoreError,
    OwnedElsewhereError,
    StoredConversation,
)

PREFIX = "cberl"
ANSWER_S = 2.0  # a store that is slower counts as not available
NUMBERS_S = 30 * 86_400  # a name that is not used for longer may begin with the same numbers again

# KEYS: owner, seq, state, events
_CLAIM = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return {redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {-1, redis.call('HGET', KEYS[2], 'seq') or 0, redis.call('HGET', KEYS[2], 'limit') or 0,
        redis.call('GET', KEYS[3]), redis.call('LRANGE', KEYS[4], 0, -1)}
"""
# ARGV: engine, lease in ms, time to keep in ms, seq before, seq, limit,
#       events kept, ended, time to keep numbers in s, state, events ...
_SAVE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
local seq = redis.call('HGET', KEYS[2], 'seq') or '0'
if owner and seq == ARGV[5] and seq ~= ARGV[4] then return 1 end  -- written before, but the answer was lost
if seq ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'seq', ARGV[5], 'limit', ARGV[6])
if ARGV[10] ~= '' then redis.call('SET', KEYS[3], ARGV[10]) end
for n = 11, #ARGV do redis.call('RPUSH', KEYS[4], ARGV[n]) end
redis.call('LTRIM', KEYS[4], -ARGV[7], -1)
redis.call('EXPIRE', KEYS[2], ARGV[9])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
if ARGV[8] == '1' then redis.call('DEL', KEYS[1], KEYS[3]) end
return 1
"""
# ARGV: engine, lease in ms, time to keep in ms, seq
_RENEW = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
if (redis.call('HGET', KEYS[2], 'seq') or '0') ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class RedisStoreConfig:
    """`lease_s`: an engine that does not renew for longer may lose its conversations to another.

    `grace_s`: how long a conversation is kept that nobody continues. `events` of each conversation are kept.
    """

    url: str
    lease_s: float
    grace_s: float
    events: int


class RedisStore:
    """Use inside `open_redis_store`. Expected numbers are kept here: one instance per engine."""

    def __init__(self, client: Any, config: RedisStoreConfig, numbering: str) -> None:
        self.numbering = numbering
        self._engine = secrets.token_hex(8)
        self._redis = client
        self._events = config.events
        self._lease_ms, self._grace_ms = round(config.lease_s * 1e3), round(config.grace_s * 1e3)
        self._seq: dict[str, int] = {}  # of the last checkpoint of each owned conversation
        self._lock = asyncio.Lock()  # a renewal names the number that the write before it has set
        self._claim, self._save, self._renew, self._release = (
            client.register_script(script) for script in (_CLAIM, _SAVE, _RENEW, _RELEASE)
        )

    async def claim(self, conversation: str) -> StoredConversation:
        async with self._lock, _answering():
            taken_ms, *found = await self._claim(_keys(conversation), [self._engine, self._lease_ms])
        if taken_ms >= 0:
            raise OwnedElsewhereError(conversation, taken_ms / 1e3)
        seq, limit, state, events = found
        self._seq[conversation] = int(seq)
        return StoredConversation(state, int(limit), _numbered(events))

    async def read(self, conversation: str) -> StoredConversation:
        _, seq, state, events = _keys(conversation)
        async with _answering(), self._redis.pipeline() as pipeline:
            limit, stored, found = await pipeline.hget(seq, "limit").get(state).lrange(events, 0, -1).execute()
        return StoredConversation(stored, int(limit or 0), _numbered(found))

    async def save(self, checkpoints: Sequence[Checkpoint]) -> set[str]:
        async with self._lock, _answering():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for it in checkpoints:
                    before, ended = self._seq.get(it.conversation, 0), int(it.ended)
                    numbers = [before, it.seq, it.seq_limit, self._events, ended, NUMBERS_S]
                    values = [*self._lease, *numbers, it.state or b"", *it.events]
                    await self._save(_keys(it.conversation), values, client=pipeline)
                written = await pipeline.execute()
            lost = {it.conversation for it, done in zip(checkpoints, written, strict=True) if not done}
            for it in checkpoints:
                if it.conversation in lost or it.ended:
                    self._seq.pop(it.conversation, None)
                else:
                    self._seq[it.conversation] = it.seq
        return lost

    async def renew(self, conversations: Sequence[str]) -> set[str]:
        async with self._lock, _answering():
            owned = [name for name in conversations if name in self._seq]
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name in owned:
                    await self._renew(_keys(name), [*self._lease, self._seq[name]], client=pipeline)
                renewed = await pipeline.execute()
            lost = {name for name, done in zip(owned, renewed, strict=True) if not done}
            for name in lost:
                self._seq.pop(name, None)
        return lost

    async def release(self, conversations: Sequence[str]) -> None:
        async with self._lock, _answering():
            for name in conversations:
                self._seq.pop(name, None)
                await self._release(_keys(name), [self._engine])

    async def forget(self, conversation: str) -> None:
        _, _, state, events = _keys(conversation)
        async with _answering():
            await self._redis.delete(state, events)

    @property
    def _lease(self) -> tuple[str, int, int]:
        return self._engine, self._lease_ms, self._grace_ms


@asynccontextmanager
async def open_redis_store(config: RedisStoreConfig) -> AsyncIterator[RedisStore]:
    """Raises ConversationStoreError where Redis does not answer, or its client is not installed."""
    try:
        from redis.asyncio import Redis
    except ImportError as error:
        raise ConversationStoreError("Redis needs its client: pip install 'cberl-engine[cluster]'") from error
    async with _answering():
        client = Redis.from_url(config.url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    async with client:
        async with _answering():
            await client.set(f"{PREFIX}:numbering", secrets.token_hex(6), nx=True)
            numbering = await client.get(f"{PREFIX}:numbering")
        yield RedisStore(client, config, numbering.decode())


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        raise ConversationStoreError(f"the conversation store cannot be used: {error}") from error


def _keys(conversation: str) -> list[str]:
    return [f"{PREFIX}:{part}:{conversation}" for part in ("owner", "seq", "state", "events")]


def _numbered(events: Sequence[bytes]) -> tuple[tuple[int, str], ...]:
    return tuple((int(json.loads(text)["seq"]), text.decode()) for text in events)
