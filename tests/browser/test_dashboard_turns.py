"""One turn in the dashboard: chosen, told in full, and with the earlier turns that moved it."""

import asyncio

import pytest
from playwright.async_api import expect

from testing.browser_page import BROWSER
from testing.dashboard_page import dashboard
from testing.sample_conversation import demo_events

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")


def test_a_turn_is_chosen_by_mouse_and_keyboard_and_tells_all_of_it() -> None:
    async def main() -> None:
        async with dashboard("?conversation=live") as (engine, url, page):
            events = demo_events("live")
            await expect(page.locator("#transcript li")).to_have_count(25)
            await page.locator("#transcript li", has_text=events[-1].text).click()
            details = page.locator("#details-body")
            await expect(details.locator("blockquote")).to_have_text(events[-1].text or "")
            await expect(details.locator("ul").first.locator("li")).to_have_count(7)
            await expect(details).to_contain_text("no camera, no face in view")
            await expect(details).to_contain_text("speech to text")
            slider = page.get_by_role("slider", name="Turns")
            await slider.press("ArrowLeft")
            await expect(details.locator("blockquote")).to_have_text(events[-2].text or "")
            assert str(events[-2].text) in str(await slider.get_attribute("aria-valuetext"))
            await page.wait_for_url("**turn=live*")
            await page.reload()
            await expect(details.locator("blockquote")).to_have_text(events[-2].text or "")
            await slider.press("Escape")
            await expect(page.locator("#details")).to_be_hidden()
            canvas = page.locator("#canvas")
            box = await canvas.bounding_box()
            assert box is not None
            for press in range(40):  # along a lane, until a block is met
                await canvas.click(position={"x": box["width"] - 10 - 10 * press, "y": 32})
                if await page.locator("#details").is_visible():
                    break
            await expect(page.locator("#details-title")).to_contain_text("maya")
            was = [event.text for event in events if event.shift and event.speaker == "tom"]
            rows = page.locator("#transcript li", has_text="was ").filter(has=page.locator("b", has_text="tom"))
            assert len(was) == await rows.count()

    asyncio.run(main())


def test_a_turn_says_and_draws_which_earlier_turns_moved_it() -> None:
    async def main() -> None:
        events = demo_events("live")
        turn = next(it for it in events[8:] if {influence.weight > 0 for influence in it.because} == {True, False})
        against = next(it for it in turn.because if it.weight < 0)
        source = next(it for it in events if it.utterance == against.utterance)
        async with dashboard(f"?conversation=live&turn={turn.utterance}") as (_, _, page):
            rows = page.locator(".influences li")
            await expect(rows).to_have_count(len(turn.because))
            row = rows.filter(has_text=f"against {turn.emotion} −{-against.weight:.2f}")
            await expect(row).to_contain_text(f"{source.speaker}: {source.text}")
            weight = turn.modality_weights["text"]
            how = "for" if weight > 0 else "against"
            number = f"{weight:+.2f}".replace("-", "−")
            words = page.locator("dl.because dd").first
            await expect(words).to_contain_text(f", {how} {turn.emotion} {number}")
            slider = page.get_by_role("slider", name="Turns")
            assert f"{source.speaker} (against it)" in str(await slider.get_attribute("aria-valuetext"))
            await page.click("#zoom-all")
            await slider.press("Home")  # the first turn, which nothing has moved
            await expect(page.locator("#details-title")).to_contain_text(events[0].speaker)
            await expect(rows).to_have_count(0)
            assert "Moved by" not in str(await slider.get_attribute("aria-valuetext"))
            drawn = "document.getElementById('canvas').toDataURL()"
            without = await page.evaluate(drawn)
            box = await page.locator("#canvas").bounding_box()
            assert box is not None
            moved = next(it for it in events[8:] if it.speaker == "maya")  # in the first lane
            await page.mouse.move(box["x"] + box["width"] * moved.start_s / events[-1].end_s + 3, box["y"] + 32)
            await page.wait_for_function(f"(before) => {drawn} !== before", arg=without)
            await page.mouse.move(5, 5)
            await page.wait_for_function(f"(before) => {drawn} === before", arg=without)
            await page.goto(page.url.partition("&")[0] + f"&turn={turn.utterance}")
            await rows.filter(has_text="against").first.locator("button").press("Enter")
            await expect(page.locator("#details-body blockquote")).to_have_text(str(source.text))

    asyncio.run(main())
