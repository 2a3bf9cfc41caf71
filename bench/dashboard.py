"""How smooth is the dashboard with a long conversation?

    python bench/dashboard.py [--events 10000] [--json]

Time between animation frames, while ten events per second arrive and the timeline is zoomed and moved all the time.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.async_api import expect
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testing.browser_page import BROWSER, browser, opened
from testing.counting import running
from testing.sample_conversation import greeting, many_events

EVENTS_PER_S = 10
LOADING_MS = 120_000
# Every frame zooms or moves the timeline, as a hand on a touchpad does. Returns milliseconds between frames.
FRAMES = """(frames) => new Promise((done) => {
    const box = document.getElementById("timeline"), gaps = [];
    let before = null;
    const next = (now) => {
        if (before !== null) gaps.push(now - before);
        before = now;
        if (gaps.length === frames) return done(gaps);
        const wheel = gaps.length % 2 ? { deltaX: gaps.length % 120 < 60 ? 12 : -12 }
            : { deltaY: gaps.length % 240 < 120 ? -6 : 6, ctrlKey: true };
        box.dispatchEvent(new WheelEvent("wheel", { ...wheel, clientX: 700, clientY: 450, cancelable: true }));
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
})"""


async def measure(count: int, frames: int) -> dict[str, Any]:
    async with running(replay_events=2 * count, subscriber_queue=2 * count) as (engine, url):
        *events, last = many_events("long", count)
        for event in [*greeting("long"), *events, last]:
            engine.hub.publish(event)
        async with browser(viewport={"width": 1280, "height": 900}) as context, asyncio.TaskGroup() as tasks:
            page = await opened(context, f"{url}/?conversation=long")
            await expect(page.locator("#facts")).to_contain_text(f"{count} turns", timeout=LOADING_MS)
            await page.click("#zoom-all")

            async def talk() -> None:
                for number in range(1_000_000):
                    start_s = last.end_s + 4.0 * number
                    more = replace(last, utterance=f"long/maya/more-{number}", start_s=start_s, end_s=start_s + 3)
                    engine.hub.publish(more)
                    await asyncio.sleep(1 / EVENTS_PER_S)

            talking = tasks.create_task(talk())
            gaps = sorted(await page.evaluate(FRAMES, frames))
            talking.cancel()
    return {
        "events": count,
        "frames": frames,
        "p50_ms": gaps[frames // 2],
        "p95_ms": gaps[int(0.95 * frames)],
        "max_ms": gaps[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if BROWSER is None:
        raise SystemExit("needs chromium or chrome")
    found = asyncio.run(measure(options.events, options.frames))
    if options.json:
        print(json.dumps(found))
    else:
        Console().print(
            f"{found['events']} events: p50 {found['p50_ms']:.1f} ms, p95 {found['p95_ms']:.1f} ms,"
            f" longest {found['max_ms']:.1f} ms between {found['frames']} frames"
        )


if __name__ == "__main__":
    main()
