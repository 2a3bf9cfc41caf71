"""People in real browsers meet on the call page, by WebRTC with each other and by WHIP with the engine."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from torchaudio.functional import edit_distance

from cberl.types import SAMPLE_RATE, Float32
from testing.browser_page import BROWSER, browser, opened, server
from testing.call_page import capture_devices, join
from testing.counting import Counter, running
from testing.events import emotion
from testing.live_engine import SCRIPT, demo
from testing.sample_conversation import LONG_NAME, extreme_events, greeting

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")

TURNS = {turn.speaker: turn for turn in SCRIPT.turns[:2]}
COLOURS = {"maya": (40, 40, 200), "tom": (200, 40, 40)}  # blue, green, red
ROWS = '[...document.querySelectorAll("#transcript li:not(.now)")]'
SPOKEN = f"""{ROWS}.map((row) => [row.querySelector(".who b").textContent, row.querySelector(".words").textContent])"""
# The mean colour of the other person's picture, and the loudest sound of them within a second.
SEEN = """() => {
    const video = document.querySelector(".tile:not(.own) video"), canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
HEARD = """() => new Promise((done) => {
    const context = new AudioContext(), analyser = new AnalyserNode(context, { fftSize: 2048 });
    context.createMediaStreamSource(document.querySelector(".tile:not(.own) video").srcObject).connect(analyser);
    const samples = new Float32Array(2048), until = performance.now() + 20_000;
    const look = () => {
        analyser.getFloatTimeDomainData(samples);
        const loudest = Math.max(...samples.map(Math.abs));
        if (loudest > 0.02 || performance.now() > until) done(loudest);
        else setTimeout(look, 20);
    };
    look();
})"""


def said_by(speaker: str) -> Float32:
    """A turn with the silence of a breath before it, so that it begins when the call is up, and one after it."""
    turn, channel = TURNS[speaker], SCRIPT.speakers.index(speaker)
    speech = demo()[channel, round((turn.start_s - 0.2) * SAMPLE_RATE) : round((turn.end_s + 0.2) * SAMPLE_RATE)]
    return np.pad(speech, (4 * SAMPLE_RATE, 60 * SAMPLE_RATE))


def tone() -> Float32:
    return (0.4 * np.sin(np.arange(120 * SAMPLE_RATE) * 2 * np.pi * 300 / SAMPLE_RATE)).astype(np.float32)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


@asynccontextmanager
async def person(tmp_path: Path, name: str, sound: Float32) -> AsyncIterator[Page]:
    """A browser of their own, with a camera of their own colour."""
    folder = tmp_path / name
    folder.mkdir()
    async with browser(*capture_devices(folder, sound, COLOURS.get(name, (40, 200, 40)))) as context:
        yield await context.new_page()


async def assert_sees(page: Page, name: str) -> None:
    """Their picture arrives, in their colour."""
    blue, _, red = COLOURS[name]
    await page.wait_for_function("() => document.querySelector('.tile:not(.own) video')?.videoWidth > 0")
    seen = await page.evaluate(SEEN)
    assert (seen[0] > seen[2]) == (red > blue), (name, seen)


@pytest.mark.timeout(300)
def test_two_people_see_hear_and_read_each_other_with_their_emotions(tmp_path: Path) -> None:
    async def main() -> list[list[str]]:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(server())
            pages: dict[str, Page] = {}
            for count, name in enumerate(COLOURS, start=1):
                pages[name] = await stack.enter_async_context(person(tmp_path, name, said_by(name)))
                await join(pages[name], url, name)
                for page in pages.values():
                    await page.wait_for_function(f"() => {ROWS}.length === {count}")
            for name, other in (("maya", "tom"), ("tom", "maya")):
                await assert_sees(pages[name], other)
                for speaker in COLOURS:
                    overlay = pages[name].locator(f".tile[aria-label={speaker}] cberl-emotion .emotion")
                    await expect(overlay).to_be_visible()
            seen = [await page.evaluate(SPOKEN) for page in pages.values()]
            assert seen[0] == seen[1]
            await expect(pages["tom"].locator("#disclosure")).to_have_text(
                "Emotion recognition is running in this conversation."
            )
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


async def met(tmp_path: Path, stack: AsyncExitStack, url: str, tom: str = "all") -> dict[str, Page]:
    """Two people who are in a call and see each other."""
    pages: dict[str, Page] = {}
    for name in COLOURS:
        pages[name] = await stack.enter_async_context(person(tmp_path, name, tone()))
        await join(pages[name], url, name, tom if name == "tom" else "all")
    await assert_sees(pages["maya"], "tom")
    await assert_sees(pages["tom"], "maya")
    return pages


async def until_published(page: Page, engine: Counter, speakers: set[str]) -> None:
    async with asyncio.timeout(30):
        while engine.taken != speakers:
            await page.evaluate("new Promise((done) => setTimeout(done, 20))")


@pytest.mark.timeout(240)
def test_one_who_reloads_the_page_is_back_in_the_call_and_in_the_conversation(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            engine, url = await stack.enter_async_context(running())
            pages = await met(tmp_path, stack, url)
            assert await pages["maya"].evaluate(HEARD) > 0.02
            await until_published(pages["maya"], engine, {"maya", "tom"})
            await join(pages["tom"], url, "tom")
            await assert_sees(pages["maya"], "tom")
            await assert_sees(pages["tom"], "maya")
            assert await pages["maya"].evaluate(HEARD) > 0.02
            await until_published(pages["maya"], engine, {"maya", "tom"})
            await expect(pages["maya"].locator(".tile")).to_have_count(2)
            await pages["tom"].context.set_offline(True)
            await pages["tom"].wait_for_selector("#status[data-kind=waiting]")
            await pages["tom"].context.set_offline(False)
            await pages["tom"].wait_for_selector("#status[data-kind=live]")
            await assert_sees(pages["maya"], "tom")
            await pages["tom"].click("#leave")
            await expect(pages["maya"].locator(".tile")).to_have_count(1)
            await until_published(pages["maya"], engine, {"maya"})

    asyncio.run(main())


@pytest.mark.timeout(240)
def test_four_people_see_each_other_and_the_emotions_of_all_and_a_fifth_is_refused(tmp_path: Path) -> None:
    feelings = {"maya": "joy", "tom": "anger", "ines": "sadness", "oleg": "surprise"}
    playing = """() => {
        const videos = [...document.querySelectorAll(".tile:not(.own) video")];
        return videos.length === 3 && videos.every((it) => it.videoWidth > 0 && it.currentTime > 0);
    }"""

    async def main() -> None:
        flags = capture_devices(tmp_path, tone(), (40, 200, 40), size=(96, 72))  # 16 streams are encoded
        async with running() as (engine, url), browser(*flags) as context:
            engine.open.clear()  # it makes no events of its own
            pages = {name: await context.new_page() for name in feelings}
            for name, page in pages.items():
                await join(page, url, name)
            await until_published(pages["maya"], engine, set(feelings))
            for number, (name, feeling) in enumerate(feelings.items()):
                engine.hub.publish(emotion(number, name, feeling, conversation="talk"))
            for page in pages.values():
                await page.wait_for_function(playing)
                for name, feeling in feelings.items():
                    tile = page.locator(f".tile[aria-label={name}]")
                    await expect(tile.locator("cberl-emotion .emotion")).to_contain_text(feeling)
            fifth = await context.new_page()
            await fifth.goto(f"{url}/call?conversation=talk&name=ada")
            await fifth.check("[name=analyse][value=none]")
            await fifth.click("#enter:enabled")
            await expect(fifth.locator("#problem")).to_be_visible()
            for page in pages.values():
                await expect(page.locator(".tile")).to_have_count(4)

    asyncio.run(main())


@pytest.mark.timeout(240)
def test_nothing_goes_to_the_engine_of_one_who_wants_nothing_analysed(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            engine, url = await stack.enter_async_context(running())
            sent: list[str] = []
            pages = await met(tmp_path, stack, url, tom="none")
            pages["tom"].on("request", lambda request: sent.append(request.method))
            await until_published(pages["maya"], engine, {"maya"})
            await expect(pages["maya"].locator(".tile[aria-label=tom] .state")).to_have_text("not analysed")
            assert await pages["maya"].evaluate(HEARD) > 0.02
            assert "POST" not in sent
            assert engine.taken == {"maya"}

    asyncio.run(main())


@pytest.mark.timeout(240)
def test_camera_off_and_mute_are_seen_and_sent_to_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            _, url = await stack.enter_async_context(running())
            pages = await met(tmp_path, stack, url)
            tile = pages["maya"].locator(".tile[aria-label=tom]")
            live = "() => document.getElementById('preview').srcObject.getVideoTracks().length"
            await pages["tom"].click("#blind")
            await expect(tile.locator(".state")).to_have_text("camera off")
            await expect(tile.locator(".initial")).to_be_visible()
            assert await pages["tom"].evaluate(live) == 0
            await pages["tom"].click("#mute")
            await expect(tile.locator(".state")).to_have_text("muted · camera off")
            await pages["tom"].click("#blind")
            await pages["tom"].click("#mute")
            await expect(tile.locator(".state")).to_have_text("")
            await assert_sees(pages["maya"], "tom")

    asyncio.run(main())


def test_no_device_opens_before_a_person_has_chosen_what_is_analysed(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (_, url), person(tmp_path, "maya", tone()) as page:
            await page.add_init_script(
                "navigator.mediaDevices.getUserMedia = () => { throw new Error('it was opened'); };"
            )
            await page.goto(f"{url}/call?name=maya")
            await page.click("#enter:enabled")
            assert await page.evaluate("document.querySelector('#join input:invalid').name") == "analyse"
            assert not await page.locator("#problem").is_visible()
            await page.check("[name=analyse][value=text]")
            await page.click("#enter")
            await expect(page.locator("#problem")).to_contain_text("it was opened")

    asyncio.run(main())


@pytest.mark.parametrize("width", [320, 375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_call_page_is_accessible_and_nothing_overflows(tmp_path: Path, width: int, scheme: str) -> None:
    async def main() -> None:
        flags = capture_devices(tmp_path, tone(), COLOURS["maya"])
        size = {"width": width, "height": 800}
        async with running() as (engine, url), browser(*flags, viewport=size, color_scheme=scheme) as context:
            page = await opened(context, f"{url}/call?conversation=talk")
            await page.fill("#name", LONG_NAME)
            await page.check("[name=analyse][value=all]")
            await assert_fine(page)
            await page.click("#enter:enabled")
            await page.wait_for_selector("#status[data-kind=live]")
            for event in [*greeting("talk", (LONG_NAME, "tom")), *extreme_events("talk")]:
                engine.hub.publish(event)
            await page.locator("cberl-emotion .emotion").wait_for()
            await page.wait_for_selector("#transcript li")
            await assert_fine(page)

    asyncio.run(main())


async def assert_fine(page: Page) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = await Axe().run(page)
    serious = [it for it in found.response["violations"] if it["impact"] in ("serious", "critical")]
    assert serious == [], [(it["id"], [node["html"] for node in it["nodes"]]) for it in serious]
