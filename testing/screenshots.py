"""Pictures of the pages for the documents: `make screenshots`, also with FOLDER=folder.

The engine runs with real models; the demo and the call reach it from the browser, as a user's would.
"""

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from playwright.async_api import Page, TimeoutError, expect

from engine.demo.score import read_script
from testing.browser_page import browser, opened, server
from testing.call_page import capture_devices, join
from testing.live_engine import DEMO, demo

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 375, "height": 812}
DEMO_MS, PROGRESS_MS = 120_000, 8_000


async def dashboard(url: str, folder: Path, turns: int) -> None:
    async with browser(viewport=WIDE, color_scheme="light") as context:
        page = await opened(context, url)
        await page.get_by_role("button", name="Play the demo").wait_for()
        await picture(page, folder / "first-page.png")
        await page.click("#demo")
        rows = page.locator("#transcript li:not(.now)")
        await expect(rows.nth(turns - 1)).to_be_visible(timeout=DEMO_MS)
        with suppress(TimeoutError):  # a busy engine leaves turns in progress out
            await page.wait_for_selector("#transcript li.now", timeout=PROGRESS_MS)
        await picture(page, folder / "dashboard.png")
        await page.emulate_media(color_scheme="dark")
        await picture(page, folder / "dashboard-dark.png")
        await page.set_viewport_size(PHONE)
        await picture(page, folder / "dashboard-phone.png")
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size(WIDE)
        await rows.nth(turns - 4).click()
        await page.wait_for_selector("#details:not([hidden])")
        await page.locator("section.panel").first.evaluate("(it) => scrollTo(0, it.offsetTop - 60)")
        await picture(page, folder / "turn.png")


async def call(url: str, folder: Path) -> None:
    """Two people with their cameras off: there are no faces that could be shown."""
    script = read_script(DEMO / "conversation.json")
    async with AsyncExitStack() as stack:
        pages = []
        for channel, name in enumerate(script.speakers):
            devices = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            flags = capture_devices(devices, demo()[channel], (90, 90, 90))
            context = await stack.enter_async_context(browser(*flags, viewport=WIDE, color_scheme="light"))
            pages.append(await context.new_page())
            await join(pages[-1], url, name)
        for page in pages:
            await page.click("#blind")
        for name in script.speakers:
            await pages[0].locator(f".tile[aria-label={name}] cberl-emotion .emotion").wait_for(timeout=DEMO_MS)
        await expect(pages[0].locator("#transcript li:not(.now)").nth(4)).to_be_visible(timeout=DEMO_MS)
        await picture(pages[0], folder / "call.png")


async def picture(page: Page, path: Path) -> None:
    await page.evaluate("document.activeElement.blur()")
    await page.wait_for_timeout(500)  # until what fades has faded
    await page.screenshot(path=path, animations="disabled")
    print(path)


async def main(folder: Path, turns: int) -> None:
    async with server(because=True) as url:
        await dashboard(url, folder, turns)
        await call(url, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Takes the pictures of the documents.")
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS)
    parser.add_argument("--turns", type=int, default=24, help="of the demo before its pictures; 4 at least")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.folder, given.turns))
