"""The same functions without asyncio: `for event in subscribe(url, conversation)`.

The connection runs in its own thread, so that it stays open however long the program takes to process an event.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

import cberl_client
from cberl_client.events import Message


def subscribe(url: str, conversation: str, **options: Any) -> Generator[Message, None, None]:
    """See `cberl_client.subscribe`."""
    return _here(cberl_client.subscribe(url, conversation, **options))


def publish_audio(url: str, conversation: str, audio: Mapping[str, Any], **options: Any) -> Generator[Message]:
    """See `cberl_client.publish_audio`."""
    return _here(cberl_client.publish_audio(url, conversation, audio, **options))


def _here(messages: AsyncGenerator[Message, None]) -> Generator[Message, None, None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="cberl_client", daemon=True)
    thread.start()
    taking: set[asyncio.Task[Any]] = set()

    async def take() -> Message | None:
        task = asyncio.current_task()
        assert task is not None
        taking.add(task)
        try:
            return await anext(messages, None)
        finally:
            taking.discard(task)

    async def close() -> None:
        for task in tuple(taking):  # interrupted by Ctrl-C while waiting
            task.cancel()
            await asyncio.wait([task])
        await messages.aclose()

    try:
        while (message := asyncio.run_coroutine_threadsafe(take(), loop).result()) is not None:
            yield message
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
