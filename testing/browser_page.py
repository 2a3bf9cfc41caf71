"""The system's Chromium, driven by Playwright, and a real server with real models, for the tests of pages."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page, WebError, async_playwright, expect

from engine.access.guard import Access
from engine.config import Settings
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.supervisor import open_supervisor

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
]
WITHIN_MS = 30_000
expect.set_options(timeout=WITHIN_MS)


@asynccontextmanager
async def browser(*flags: str, **options: Any) -> AsyncIterator[BrowserContext]:
    """`flags` of Chromium, `options` of the context. Asserts at the end that no script failed or broke a policy."""
    problems: list[str] = []

    def failed(error: WebError) -> None:
        problems.append(str(error.error))

    def printed(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            problems.append(message.text)

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=BROWSER, args=[*FLAGS, *flags])
        try:
            context = await chromium.new_context(**options)
            context.set_default_timeout(WITHIN_MS)
            context.on("weberror", failed)
            context.on("console", printed)
            yield context
        finally:
            await chromium.close()
    assert problems == []


async def opened(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    return page


@asynccontextmanager
async def server(**flags: Any) -> AsyncIterator[str]:
    """Yields its address."""
    settings = Settings(port=0, whisper_model="tiny.en", **flags)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            serve(create_app(supervisor, settings, access=Access(None)), settings, url.set_result)
        )
        yield await url
        serving.cancel()
