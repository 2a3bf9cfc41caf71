"""A real Redis server and two engines."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from engine.store.shared.conversation_store import (
    Checkpoint,
    ConversationStoreError,
    OwnedElsewhereError,
    StoredConversation,
)
from engine.store.shared.redis_store import RedisStore, RedisStoreConfig, open_redis_store
from testing.redis_server import needs_redis, redis_server

pytestmark = needs_redis
EVENTS = tuple(json.dumps({"seq": seq}) for seq in (1, 2, 3))
FIRST = Checkpoint("demo", 2, 1002, b"after two", EVENTS[:2])
SECOND = Checkpoint("demo", 3, 1002, b"after three", EVENTS[2:])


def run(test: Callable[[RedisStore, RedisStore], Coroutine[Any, Any, None]], lease_s: float = 60.0) -> None:
    """With the stores of two engines."""

    async def main() -> None:
        with redis_server() as url:
            config = RedisStoreConfig(url, lease_s, 60.0, 2)
            async with open_redis_store(config) as one, open_redis_store(config) as other:
                assert one.numbering == other.numbering
                await test(one, other)

    asyncio.run(main())


def test_another_engine_continues_a_released_conversation_with_state_numbers_and_the_latest_events() -> None:
    async def test(one: RedisStore, other: RedisStore) -> None:
        assert await one.claim("demo") == StoredConversation()
        assert await one.save([FIRST]) == set()
        assert await one.save([SECOND]) == set()
        with pytest.raises(OwnedElsewhereError, match="another engine runs demo") as refused:
            await other.claim("demo")
        assert 0 < refused.value.retry_after_s <= 60
        kept = StoredConversation(b"after three", 1002, ((2, EVENTS[1]), (3, EVENTS[2])))
        assert await other.read("demo") == kept
        await one.release(["demo"])
        assert await other.claim("demo") == kept
        assert await other.save([replace(SECOND, seq=4, state=None, events=())]) == set()
        assert (await one.read("demo")).state == b"after three"

    run(test)


def test_an_engine_that_stood_still_beyond_its_lease_writes_nothing_more() -> None:
    async def test(one: RedisStore, other: RedisStore) -> None:
        await one.claim("demo")
        await one.save([FIRST])
        while True:
            try:
                await other.claim("demo")
                break
            except OwnedElsewhereError as error:
                await asyncio.sleep(error.retry_after_s + 0.001)
        await other.save([SECOND])
        late = Checkpoint("demo", 9, 1002, b"late", ())
        assert await one.save([late, Checkpoint("mine", 1, 1001, None, ())]) == {"demo"}
        assert await one.save([late]) == {"demo"}
        assert (await other.read("demo")).state == b"after three"
        assert await other.renew(["demo"]) == set()

    run(test, lease_s=0.3)


def test_a_lease_that_nobody_took_is_renewed_late() -> None:
    async def test(one: RedisStore, other: RedisStore) -> None:
        await one.claim("demo")
        await one.save([FIRST])
        await one.release(["other"])
        await asyncio.sleep(0.1)  # beyond the lease
        await one.claim("demo")
        assert await one.renew(["demo", "never claimed"]) == set()

    run(test, lease_s=0.05)


def test_what_has_ended_or_was_deleted_leaves_only_its_numbers() -> None:
    async def test(one: RedisStore, other: RedisStore) -> None:
        await one.claim("demo")
        await one.save([FIRST])
        await one.save([replace(SECOND, ended=True)])
        assert await other.claim("demo") == StoredConversation(None, 1002, ((2, EVENTS[1]), (3, EVENTS[2])))
        await other.forget("demo")
        assert await one.read("demo") == StoredConversation(None, 1002)

    run(test)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "http://somewhere"])
def test_a_store_that_does_not_answer_is_reported_in_a_sentence(url: str) -> None:
    async def main() -> None:
        async with open_redis_store(RedisStoreConfig(url, 5.0, 60.0, 2)):
            pass

    with pytest.raises(ConversationStoreError, match="the conversation store cannot be used"):
        asyncio.run(main())
