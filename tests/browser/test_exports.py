"""Exports in a real browser: the dashboard's menu, the HTML report as a page, WebVTT as the captions of a video."""

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Dialog, expect

from engine.delivery.wire import encode
from engine.events import Influence
from engine.export.conversation import ExportedConversation, exported_conversation
from engine.export.formats import FORMATS
from testing.browser_page import BROWSER, browser, opened
from testing.counting import running
from testing.dashboard_page import dashboard
from testing.events import emotion
from testing.sample_conversation import demo_events

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")

LABELS = ("neutral", "joy", "sadness", "surprise", "anger", "fear", "disgust")
NAMES = ("maya", "<b>tom</b> & co", "N" * 60)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
TEXTS = ("Hello.", "w" * 300, "A long sentence goes on. " * 20, None, "<script>document.title = 'no'</script>")
# What is wider than the page.
TOO_WIDE = (
    "[...document.querySelectorAll('body *')].filter((it) => it.getBoundingClientRect().right > innerWidth + 0.5)"
)


def conversation() -> ExportedConversation:
    turns = zip(itertools.cycle(LABELS), itertools.cycle(NAMES), itertools.cycle(TEXTS), range(1, 40), strict=False)
    events = [
        emotion(n, name, emotion=label, text=text, confidence=0.9 if n % 4 else 0.4, uncertain=n % 4 == 0)
        for label, name, text, n in turns
    ]
    for n, before in enumerate(events[:-1], 1):
        events[n] = replace(events[n], because=(Influence(before.utterance, -0.25), Influence("demo/gone/0", 0.1)))
    return exported_conversation("T" * 64, [encode(event, seq) for seq, event in enumerate(events, 1)])


def test_the_report_fits_every_screen_is_accessible_and_asks_the_network_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(FORMATS["html"].write([conversation()]), encoding="utf-8")

    async def main() -> None:
        async with browser() as context:
            page = await opened(context, path.as_uri())
            await expect(page.locator(".turns > li")).to_have_count(39)
            await expect(page).to_have_title(f"{'T' * 64}: emotions")
            await expect(page.locator(".turns .who strong").first).to_have_text("maya")
            assert await page.evaluate("performance.getEntriesByType('resource').length") == 0
            assert await page.locator("script, [style], [onclick]").count() == 0
            assert await page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"
            why = page.get_by_text("What moved it")
            await expect(why).to_have_count(38)
            await why.first.click()
            await expect(page.locator("details[open] .list li").last).to_contain_text("-0.25 0:02 maya")
            await page.locator(".block").nth(20).click()
            await expect(page.locator(".turns > li:target")).to_have_count(1)
        async with browser(bypass_csp=True) as context:  # axe is a script
            page = await opened(context, path.as_uri())
            await page.evaluate("document.querySelectorAll('details').forEach((it) => (it.open = true))")
            for width, scheme in itertools.product((320, 375, 1280, 1920), SCHEMES):
                await page.set_viewport_size({"width": width, "height": 800})
                await page.emulate_media(color_scheme=scheme)
                assert await page.evaluate(f"{TOO_WIDE}.map((it) => it.outerHTML.slice(0, 80))") == [], (width, scheme)
                found = await Axe().run(page)
                assert found.response["violations"] == [], (width, scheme)

    asyncio.run(main())


def test_a_browser_reads_speakers_and_emotions_from_webvtt() -> None:
    captions = FORMATS["vtt"].write([conversation()])

    async def main() -> None:
        async with browser() as context:
            page = await opened(context, "about:blank")
            cues = await page.evaluate(f"""new Promise((done) => {{
                const track = document.createElement("track");
                track.onload = () => done([...track.track.cues].map((cue) => {{
                    const voice = cue.getCueAsHTML().firstChild;
                    return [cue.startTime, voice.title, voice.className, voice.textContent];
                }}));
                track.src = URL.createObjectURL(new Blob([{json.dumps(captions)}], {{type: "text/vtt"}}));
                document.body.append(Object.assign(document.createElement("video"), {{crossOrigin: "anonymous"}}));
                document.querySelector("video").append(track);
                track.track.mode = "showing";
            }})""")
            assert len(cues) == 39
            assert cues[:2] == [[2, "maya", "neutral", "Hello."], [4, NAMES[1], "joy", "w" * 300]]
            assert cues[3] == [8, "maya", "surprise uncertain", "[surprise]"]

    asyncio.run(main())


def test_every_format_is_exported_by_keyboard_and_the_menu_closes(tmp_path: Path) -> None:
    async def main() -> None:
        async with dashboard("?conversation=ended", stored=str(tmp_path / "log")) as (_, _, page):
            menu = page.locator("#export")
            button = menu.locator("summary")
            await button.focus()
            for form in FORMATS:
                await page.keyboard.press("Enter")
                chosen = menu.locator(f"button[value={form}]")
                while not await chosen.evaluate("(it) => it === document.activeElement"):
                    await page.keyboard.press("Tab")
                async with page.expect_download() as download:
                    await page.keyboard.press("Enter")
                file = await download.value
                assert file.suggested_filename == f"ended{FORMATS[form].suffixes[0]}"
                assert "maya" in (await file.path()).read_text("utf-8")
                await expect(button).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(page.locator("#formats")).to_be_visible()
            await page.keyboard.press("Tab")
            await page.keyboard.press("Escape")
            await expect(page.locator("#formats")).to_be_hidden()
            await expect(button).to_be_focused()
            await button.click()
            await page.click("#title")
            await expect(page.locator("#formats")).to_be_hidden()

    asyncio.run(main())


@pytest.mark.parametrize("conversation", ["live", "ended"])
def test_without_an_event_log_what_the_engine_keeps_is_exported(conversation: str) -> None:
    async def main() -> None:
        async with dashboard(f"?conversation={conversation}") as (engine, _, page):
            await page.click("#export summary")
            async with page.expect_download() as download:
                await page.click("#formats button[value=vtt]")
            captions = (await (await download.value).path()).read_text("utf-8")
            assert captions.count("<v.") == len(demo_events(conversation))
            await expect(page.locator("#note")).to_be_hidden()

    asyncio.run(main())


def test_the_page_says_where_an_export_lacks_earlier_turns_or_sessions() -> None:
    async def main() -> None:
        async with running(replay_events=10) as (engine, url), browser() as context:
            for _ in range(2):
                for event in demo_events("talk")[:4]:
                    engine.hub.publish(event)
                engine.hub.close("talk")
            page = await opened(context, f"{url}/?conversation=talk")
            await page.click("#export summary")
            async with page.expect_download():
                await page.click("#formats button[value=csv]")
            await expect(page.locator("#note")).to_contain_text("ran 2 times")
            for event in demo_events("talk"):
                engine.hub.publish(event)
            await expect(page.locator("#badge")).to_have_text("Live")
            await page.click("#export summary")
            async with page.expect_download():
                await page.click("#formats button[value=csv]")
            await expect(page.locator("#note")).to_contain_text("Earlier turns are not in the file")

    asyncio.run(main())


@pytest.mark.parametrize("stored", [True, False])
def test_a_row_of_the_list_exports_and_deletes_by_keyboard_on_a_phone(tmp_path: Path, stored: bool) -> None:
    async def main() -> None:
        phone = {"width": 320, "height": 640}
        async with dashboard("?list", stored=str(tmp_path / "log") if stored else "", viewport=phone) as (_, _, page):
            rows = page.locator("#list li")
            asked: list[str] = []
            answers = iter((False, True))

            async def answer(dialog: Dialog) -> None:
                asked.append(dialog.message)
                await (dialog.accept() if next(answers) else dialog.dismiss())

            page.on("dialog", answer)
            await page.get_by_label("Export or delete “live”").press("Enter")
            await expect(rows.nth(0)).to_contain_text("It can be deleted when it has ended.")
            await expect(rows.nth(0).locator(".danger")).to_have_count(0)
            await page.keyboard.press("Tab")
            await expect(rows.nth(0).locator("button[value=html]")).to_be_focused()
            async with page.expect_download() as download:
                await page.keyboard.press("Enter")
            assert (await download.value).suggested_filename == "live.html"
            await expect(page.get_by_label("Export or delete “live”")).to_be_focused()
            await page.keyboard.press("Tab")
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await expect(rows.nth(1).locator(".danger")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= 320
            await page.keyboard.press("Escape")
            await expect(rows.nth(1).locator(".danger")).to_be_hidden()
            for left in (2, 1):  # at first the question is answered with no
                await expect(page.get_by_label("Export or delete “ended”")).to_be_focused()
                await page.keyboard.press("Enter")
                await expect(rows.nth(1).locator(".danger")).to_be_visible()
                await rows.nth(1).locator(".danger").press("Enter")
                await expect(rows).to_have_count(left)
            assert asked == ["Delete what is stored about “ended”? This cannot be undone."] * 2
            await expect(page.locator("#note")).to_contain_text("“ended” was deleted")
            await expect(rows.locator("a")).to_be_focused()

    asyncio.run(main())
