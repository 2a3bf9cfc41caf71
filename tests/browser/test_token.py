"""The link with a token, in a real browser."""

import asyncio
from pathlib import Path

import pytest

from engine.access.setup import temporary_access
from testing.browser_page import BROWSER, browser
from testing.counting import running, utterance

NEEDED = "document.getElementById('status-text')?.textContent.includes('A token is needed')"
SHOWN = "document.querySelectorAll('#transcript li').length === 1"


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_the_link_signs_the_page_in_and_the_token_is_where_no_script_can_read_it(tmp_path: Path) -> None:
    async def main() -> None:
        access, token = temporary_access()
        async with running(access=access) as (engine, url), browser(tmp_path) as page:
            await page.open(url)
            await page.until(NEEDED)
            engine.hub.publish(utterance())
            await page.open(f"{url}/?conversation=demo#token={token}")
            await page.until(SHOWN)
            assert await page.evaluate("location.hash + document.cookie") == ""
            await page.open(url)  # the cookie stays
            await page.until(SHOWN)
            assert page.exceptions == []

    asyncio.run(main())
