"""Two people in two real browsers talk on the call page, by WebRTC, to a real server with real models."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Page
from torchaudio.functional import edit_distance

from cberl.types import SAMPLE_RATE, Float32
from testing.browser_page import BROWSER, browser, server
from testing.call_page import capture_devices, join
from testing.live_engine import SCRIPT, demo

TURNS = {turn.speaker: turn for turn in SCRIPT.turns[:2]}
ROWS = '[...document.querySelectorAll("#transcript li:not(.now)")]'
SPOKEN = f"""{ROWS}.map((row) => [row.querySelector(".who b").textContent, row.querySelector(".words").textContent])"""


def said_by(speaker: str) -> Float32:
    """A turn with the silence of a breath before it, so that it begins when the call is up, and one after it."""
    turn, channel = TURNS[speaker], SCRIPT.speakers.index(speaker)
    speech = demo()[channel, round((turn.start_s - 0.2) * SAMPLE_RATE) : round((turn.end_s + 0.2) * SAMPLE_RATE)]
    return np.pad(speech, (4 * SAMPLE_RATE, 60 * SAMPLE_RATE))


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


@pytest.mark.timeout(300)
@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_two_people_in_a_call_see_what_each_of_them_said(tmp_path: Path) -> None:
    async def main() -> list[list[str]]:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(server())
            pages: dict[str, Page] = {}
            for count, (name, colour) in enumerate((("maya", (40, 40, 200)), ("tom", (200, 40, 40))), start=1):
                folder = tmp_path / name
                folder.mkdir()
                flags = capture_devices(folder, said_by(name), colour)
                context = await stack.enter_async_context(browser(*flags))
                pages[name] = await context.new_page()
                await join(pages[name], url, name)
                for page in pages.values():
                    await page.wait_for_function(f"() => {ROWS}.length === {count}")
            seen = [await page.evaluate(SPOKEN) for page in pages.values()]
            assert seen[0] == seen[1]
            assert await pages["maya"].evaluate("document.getElementById('preview').videoWidth") > 0
            assert "recognition is running" in await pages["tom"].evaluate("document.body.innerText")
            for page in pages.values():
                await page.click("#leave")
                await page.wait_for_selector("#status[data-kind=idle]")
            return list(seen[0])

    spoken = asyncio.run(main())
    assert [who for who, _ in spoken] == ["maya", "tom"]
    wrong = words = 0
    for who, heard in spoken:
        said, recognised = words_of(TURNS[who].text), words_of(heard)
        wrong += edit_distance(said, recognised)
        words += len(said)
    assert wrong / words <= 0.2, spoken  # after a browser's noise suppression, Opus and a small recogniser
