"""A dashboard in a browser, with a live and an ended conversation of an engine that replays events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page

from testing.browser_page import browser, opened
from testing.counting import Counter, running
from testing.sample_conversation import demo_events, greeting, stats


@asynccontextmanager
async def dashboard(query: str = "", *, stored: str = "", **options: Any) -> AsyncIterator[tuple[Counter, str, Page]]:
    """An engine with a live and an ended conversation, and its dashboard."""
    log = {"event_log": stored, "keep_text": True} if stored else {}
    async with (
        running(replay_events=20_000, subscriber_queue=20_000, **log) as (engine, url),
        browser(**options) as context,
    ):
        for event in [*greeting("live"), *demo_events("live"), *stats("live")]:
            engine.hub.publish(event)
        for event in [*greeting("ended"), *demo_events("ended")]:
            engine.hub.publish(event)
        engine.hub.close("ended")
        await engine.hub.flush()
        yield engine, url, await opened(context, f"{url}/{query}")
