"""The first page in a real browser, against a real server with real models, through the Chrome DevTools Protocol."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import engine.demo
from cberl.labels import MELD
from engine.demo.play import play
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import AudioChunk
from testing.browser_page import BROWSER, browser, opened, server

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKERS = ["maya", "tom"]
ROWS = '[...document.querySelectorAll("#transcript li")]'
SEEN = f"""({{
    people: [...document.querySelectorAll("#people .person")].map((card) => card.dataset.name).sort(),
    feelings: [...document.querySelectorAll("#people .feeling strong")].map((it) => it.textContent),
    who: {ROWS}.map((row) => row.querySelector(".who b").textContent),
    said: {ROWS}.map((row) => row.querySelector(".words").textContent),
    verdicts: {ROWS}.map((row) => row.querySelector(".chip").textContent),
    disclosure: ((it) => it.checkVisibility() && it.innerText)(document.getElementById("disclosure")),
    status: document.getElementById("status").dataset.kind,
}})"""


async def publish(url: str, start_s: float, end_s: float) -> list[EmotionEvent]:
    """This part of the demo, as fast as it is taken."""

    async def part() -> AsyncIterator[AudioChunk]:
        async for chunk in read_media(str(DEMO), speakers=SPEAKERS):
            if start_s <= chunk.start_s < end_s:
                yield chunk

    return await play(
        url.replace("http", "ws") + "/ingest?conversation=demo", part(), SPEAKERS, lambda event: None, pytest.fail
    )


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_a_page_shows_who_said_what_and_misses_nothing_while_it_is_cut_off() -> None:
    async def main() -> None:
        async with server() as url, browser() as context:
            sockets: list[str] = []
            context.on("page", lambda page: page.on("websocket", lambda it: sockets.append(it.url)))
            page = await opened(context, f"{url}/?conversation=demo")
            await page.wait_for_selector("#status[data-kind=idle]")
            finals = await publish(url, 0.0, 7.3)
            await page.wait_for_function(f"() => {ROWS}.length === 2")
            await page.wait_for_selector("[data-name=tom] .feeling strong")
            seen = await page.evaluate(SEEN)
            assert seen["people"] == seen["who"] == SPEAKERS
            assert set(seen["feelings"]) <= set(MELD)
            assert len(seen["feelings"]) == 2
            assert seen["said"] == [event.text for event in finals]
            assert seen["verdicts"] == [event.emotion for event in finals]
            assert seen["disclosure"] == "Emotion recognition is running in this conversation."
            assert seen["status"] == "live"

            await context.set_offline(True)
            await page.wait_for_selector("#status[data-kind=waiting]")
            finals += await publish(url, 7.3, 14.8)
            assert (await page.evaluate(SEEN))["said"] == seen["said"]
            await context.set_offline(False)
            await page.wait_for_selector("#status[data-kind=live]")
            await page.wait_for_function(f"() => {ROWS}.length >= 4")
            seen = await page.evaluate(SEEN)
            assert seen["who"] == ["maya", "tom", "maya", "tom"]
            assert seen["said"] == [event.text for event in finals]
            assert sockets[0].endswith("resume_from_seq=0")
            assert not sockets[-1].endswith("resume_from_seq=0")

    asyncio.run(main())
