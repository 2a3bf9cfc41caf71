"""The dashboard in a real browser, against a real server with real models, and against one that replays events."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

import engine.demo
from cberl.labels import MELD
from engine.demo.play import play
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import AudioChunk
from testing.browser_page import BROWSER, browser, opened, server
from testing.call_page import capture_devices
from testing.counting import running
from testing.dashboard_page import dashboard
from testing.live_engine import demo
from testing.sample_conversation import LONG_NAME, demo_events, extreme_events, greeting, many_events

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKERS = ["maya", "tom"]
ROWS = '[...document.querySelectorAll("#transcript li:not(.now)")]'
SEEN = f"""({{
    people: [...document.querySelectorAll("#people .person")].map((card) => card.dataset.name).sort(),
    feelings: [...document.querySelectorAll("#people .feeling strong")].map((it) => it.textContent),
    who: {ROWS}.map((row) => row.querySelector(".who b").textContent),
    said: {ROWS}.map((row) => row.querySelector(".words").textContent),
    verdicts: {ROWS}.map((row) => row.dataset.emotion),
    disclosure: ((it) => it.checkVisibility() && it.innerText)(document.getElementById("disclosure")),
    status: document.getElementById("status").dataset.kind,
}})"""
# Elements beyond the right edge of the window, or whose words are wider than their box and not cut off on purpose.
OVERFLOWING = """() => [...document.querySelectorAll("body *")].filter((it) => {
    const box = it.getBoundingClientRect(), style = getComputedStyle(it);
    const wide = it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 1 && style.overflowX === "visible";
    return it.checkVisibility() && !it.closest(".visually-hidden, .skip, svg") && style.display !== "inline"
        && (box.right > innerWidth + 1 || wide);
}).map((it) => it.outerHTML.slice(0, 120))"""


async def publish(url: str, start_s: float, end_s: float) -> list[EmotionEvent]:
    """This part of the demo, as fast as it is taken."""

    async def part() -> AsyncIterator[AudioChunk]:
        async for chunk in read_media(str(DEMO), speakers=SPEAKERS):
            if start_s <= chunk.start_s < end_s:
                yield chunk

    return await play(
        url.replace("http", "ws") + "/ingest?conversation=demo", part(), SPEAKERS, lambda event: None, pytest.fail
    )


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["speak", "demo"])
def test_the_first_page_leads_to_ones_own_voice_and_to_the_demo(tmp_path: Path, way: str) -> None:
    async def main() -> None:
        flags = capture_devices(tmp_path, demo()[0, : 12 * 16_000], (40, 40, 200))
        async with server() as url, browser(*flags) as context:
            page = await opened(context, url)
            await expect(page.get_by_role("heading", name="Which emotions are in a conversation?")).to_be_visible()
            await page.click(f"#{way}")
            await page.wait_for_selector("#status[data-kind=live]")
            await expect(page.locator("#transcript li:not(.now)").first).to_contain_text(
                "mail come for me", timeout=90_000
            )
            names = [await it.get_attribute("data-name") for it in await page.locator(".person").all()]
            assert sorted(map(str, names)) == (["you"] if way == "speak" else SPEAKERS)
            await page.click("#stop")
            await page.wait_for_selector("#status[data-kind=idle]", timeout=90_000)

    asyncio.run(main())


def test_conversations_are_found_opened_replayed_exported_and_deleted() -> None:
    async def main() -> None:
        async with dashboard("?list") as (engine, url, page):
            entries = page.locator("#list a")
            await expect(entries).to_contain_text(["live", "ended"])
            await expect(entries.nth(0)).to_contain_text("maya, tom · 1:34")
            await page.fill("#search", "nobody")
            await expect(page.locator("#no-match")).to_be_visible()
            await page.fill("#search", "TOM")
            await expect(entries).to_have_count(2)
            await entries.nth(1).click()
            await expect(page.locator("#badge")).to_have_text("Ended")
            await expect(page.locator("#transcript li")).to_have_count(25)
            await page.locator("#scrub").fill("20")
            await expect(page.locator("#transcript li")).to_have_count(5)
            await expect(page.locator("[data-name=maya] .feeling strong")).to_have_text("joy")
            await page.wait_for_url("**t=20*")
            await page.reload()
            await expect(page.locator("#moment")).to_have_text("0:20")
            await page.select_option("#speed", "16")
            await page.click("#play")
            await expect(page.locator("#transcript li")).to_have_count(25)
            await page.click("#export summary")
            async with page.expect_download() as download:
                await page.click("#formats button[value=jsonl]")
            exported = (await (await download.value).path()).read_text("utf-8").splitlines()
            assert len(exported) == 25
            page.on("dialog", lambda dialog: dialog.accept())
            await page.click("#delete")
            await expect(page.locator("#note")).to_contain_text("“ended” was deleted")
            await expect(entries).to_have_count(1)

    asyncio.run(main())


def test_a_stored_conversation_opens_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        log = {"event_log": str(tmp_path / "log"), "keep_text": True}
        async with running(**log) as (engine, url):
            for event in [*greeting("kept"), *many_events("kept", 1500)]:
                engine.hub.publish(event)
            engine.hub.close("kept")
            await engine.hub.flush()
        async with running(**log, replay_events=10) as (_, url), browser() as context:
            page = await opened(context, f"{url}/?list")
            entry = page.locator("#list a")
            await expect(entry).to_contain_text("tom")
            await entry.click()
            await expect(page.locator("#facts")).to_contain_text("1500 turns")
            await expect(page.locator("#transcript li").last).to_contain_text("Sentence number 1499.")

    asyncio.run(main())


def test_lasting_changes_are_counted_by_the_settings_of_the_engine() -> None:
    async def main() -> list[str]:
        counted = []
        for settings in ({}, {"change_confidence": 1.0, "change_turns": 100}):
            async with running(**settings) as (engine, url), browser() as context:
                for event in demo_events("talk"):
                    engine.hub.publish(event)
                page = await opened(context, f"{url}/?conversation=talk")
                counted.append(await page.locator("#summary h4").first.inner_text())
        return counted

    default, strict = asyncio.run(main())
    assert "0 lasting changes" not in default
    assert "0 lasting changes" in strict


@pytest.mark.timeout(240)
def test_ten_thousand_events_are_all_there_and_few_elements_are() -> None:
    async def main() -> None:
        async with running(replay_events=20_000, subscriber_queue=20_000) as (engine, url), browser() as context:
            for event in [*greeting("long"), *many_events("long", 10_000)]:
                engine.hub.publish(event)
            page = await opened(context, f"{url}/?conversation=long")
            await expect(page.locator("#facts")).to_contain_text("10000 turns", timeout=120_000)
            assert await page.evaluate("document.querySelectorAll('*').length") < 4000
            await page.locator("#transcript").evaluate("(list) => list.scrollTo(0, 0)")
            await page.wait_for_function(
                "() => document.querySelector('#transcript li').dataset.turn.endsWith('/9720')"
            )
            await page.locator("#transcript").evaluate("(list) => list.scrollTo(0, 1e9)")
            await expect(page.locator("#transcript li").last).to_contain_text("Sentence number")
            await page.click("#zoom-all")
            slider = page.get_by_role("slider", name="Turns")
            await slider.press("Home")
            await expect(page.locator("#details-body blockquote")).to_have_text("Sentence number 0.")
            await expect(page.locator("#transcript li[aria-current]")).to_contain_text("Sentence number 0.")

    asyncio.run(main())


@pytest.mark.parametrize("width", [320, 375, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_nothing_overflows_in_any_width_and_colour(width: int, scheme: str) -> None:
    async def main() -> None:
        size = {"width": width, "height": 900}
        async with dashboard("?list", viewport=size, color_scheme=scheme) as (engine, url, page):
            for event in [*greeting("extreme", (LONG_NAME, "tom")), *extreme_events("extreme")]:
                engine.hub.publish(event)
            turn, extreme = demo_events("live")[5].utterance, extreme_events("extreme")[1].utterance
            pages = ("?list", f"?conversation=live&turn={turn}", "?conversation=ended&t=20")
            for query in (*pages, f"?conversation=extreme&turn={extreme}"):
                await page.goto(f"{url}/{query}")
                await page.wait_for_selector("#list a", state="attached")
                if query != "?list":
                    await page.wait_for_selector("#transcript li")
                    await page.wait_for_selector("#summary .shares")
                await page.locator("#export summary" if query != "?list" else "#list summary").last.click()
                assert await page.evaluate(OVERFLOWING) == [], query
                found = await Axe().run(page)
                serious = [it for it in found.response["violations"] if it["impact"] in ("serious", "critical")]
                assert serious == [], [(it["id"], [node["html"] for node in it["nodes"]]) for it in serious]

    asyncio.run(main())


def test_every_control_is_reached_by_tab_and_the_colours_are_kept() -> None:
    async def main() -> None:
        async with dashboard("?conversation=ended") as (_, url, page):
            await page.wait_for_selector("#replay:not([hidden])")
            await page.click("#theme")
            theme = "document.documentElement.dataset.theme"
            assert await page.evaluate(theme) == "light"
            await page.reload()
            assert await page.evaluate(theme) == "light"
            await page.wait_for_selector("#replay:not([hidden])")
            await page.wait_for_selector("#summary .moments")
            reachable = """[...document.querySelectorAll("a, button, summary, input, select, [tabindex='0']")]
                .filter((it) => it.checkVisibility() && !it.disabled).length"""
            count = await page.evaluate(reachable)
            reached = set()
            await page.evaluate("document.activeElement.blur()")
            for _ in range(count):
                await page.keyboard.press("Tab")
                reached.add(await page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
            assert len(reached) == count

    asyncio.run(main())
