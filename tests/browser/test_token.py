"""The link with a token, in a real browser."""

import asyncio

import pytest

from engine.access.setup import temporary_access
from testing.browser_page import BROWSER, browser, opened
from testing.counting import running, utterance


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_the_link_signs_the_page_in_and_the_token_is_where_no_script_can_read_it() -> None:
    async def main() -> None:
        access, token = temporary_access()
        async with running(access=access) as (engine, url), browser() as context:
            page = await opened(context, url)
            await page.get_by_text("A token is needed").wait_for()
            engine.hub.publish(utterance())
            page = await opened(context, f"{url}/?conversation=demo#token={token}")
            await page.wait_for_selector("#transcript li")
            assert await page.evaluate("location.hash + document.cookie") == ""
            page = await opened(context, f"{url}/?conversation=demo")  # the cookie stays
            await page.wait_for_selector("#transcript li")

    asyncio.run(main())
