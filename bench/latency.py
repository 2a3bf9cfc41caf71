"""How long after the end of speech is the emotion event published, and what does early analysis save?

    python bench/latency.py [--json] [--seconds 60] [--whisper-model tiny.en] [--no-browser]

Plays the demo conversation in real time through a session with real models: with analysis that starts at the
provisional end of a turn (the default), and at its final end. Then one speaker's channel is the microphone of a real
Chromium in the call page: by WHIP to a real server, and back by /events.

The main figure is (time from the end of speech to the event - the silence that ends a turn) / bare recognition
time of the same turns, each recognised whole and alone by the same process in the same run. 1 means that recognition
starts when the turn is over; the target at the median is 0.1. The silence that ends a turn is what its words ask for
(see `EndSilence`), or what it was where the words came too late to lengthen it ("turn" in the table).

The end of speech is where the turn's last voiced window ends. In a session, it counts from when that sample arrived. In
the browser it counts from when the page's own microphone track had it: a script in the page records when the track's
first loud sample, whose position in the recording is known, arrives.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.async_api import Page
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.access.guard import Access
from engine.config import Settings
from engine.conversation.models import Models
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.demo.play import as_live
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import AudioChunk, PullSource, Track
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.supervisor import Supervisor, open_supervisor
from engine.speech.turn import Turn
from engine.speech.turn_detector import TAIL_MS, TurnDetector, segmenter_config
from engine.speech.turn_end import EndSilence
from engine.speech.vad import WINDOW
from testing.browser_page import BROWSER, browser
from testing.call_page import capture_devices, join

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKERS = ["maya", "tom"]
TARGET = 0.1
LEAD_S = 4.0  # of silence, until the call is connected
HALF_WINDOW_MS = WINDOW * 500 / SAMPLE_RATE  # silence is measured to the nearest window
CLOSE_S = 0.3  # two measurements of a time differ by less
LOUD = 0.02  # louder than any sample of silence
# The clock time of the track's first loud sample: the earliest that any of its blocks gives.
LISTEN = f"""(() => {{
    const context = new AudioContext();
    const source = context.createMediaStreamSource(document.getElementById("preview").srcObject);
    const ear = context.createScriptProcessor(256, 1, 1);
    let since = null;
    window.firstSound = null;
    ear.onaudioprocess = ({{inputBuffer}}) => {{
        const now = performance.timeOrigin + performance.now();
        const pcm = inputBuffer.getChannelData(0);
        const at = since === null ? pcm.findIndex((sample) => Math.abs(sample) > {LOUD}) : 0;
        if (at < 0) return;
        since = (since ?? 0) + pcm.length - at;
        window.firstSound = Math.min(window.firstSound ?? Infinity, now - since / context.sampleRate * 1000);
    }};
    source.connect(ear).connect(context.destination);
}})()"""


async def in_process(settings: Settings, seconds: float) -> dict[str, Any]:
    """The demo, sent by a live publisher."""
    channels = {side: await said_by(side, seconds) for side in SPEAKERS}
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        subscription = supervisor.hub.subscribe("bench")
        heard = tasks.create_task(finals(subscription))
        await supervisor.join("bench", PullSource(as_live(recorded(seconds))), live=True)
        subscription.end("done")
        # The first turn warms up. A turn that the end of the source cut short had no silence, and does not count.
        least_ms = min(settings.end_silence_ms, settings.end_silence_min_ms)
        counted = [it for it in (await heard)[1:] if it.timings_ms["turn"] >= least_ms - HALF_WINDOW_MS]
        bare_ms = [await bare(channels[it.speaker], it.start_s, it.end_s, supervisor.models) for it in counted]
    late_ms = [it.timings_ms["after_speech"] - silence_ms(it, settings) for it in counted]
    return summary(late_ms, bare_ms, [it.timings_ms for it in counted])


async def recorded(seconds: float) -> AsyncIterator[AudioChunk]:
    async for chunk in read_media(str(DEMO), speakers=SPEAKERS):
        if chunk.start_s < seconds:
            yield chunk


async def said_by(speaker: str, seconds: float) -> Float32:
    return np.concatenate([it.pcm async for it in recorded(seconds) if it.track.speaker == speaker])


def silence_ms(event: EmotionEvent, settings: Settings) -> float:
    """The silence that ends this turn."""
    if not settings.provisional_ms:
        return settings.end_silence_ms
    silence = EndSilence(settings.end_silence_ms, settings.end_silence_min_ms, settings.end_silence_max_ms)
    asked_ms, was_ms = silence.after(event.text or ""), event.timings_ms["turn"]
    return asked_ms if was_ms >= asked_ms - HALF_WINDOW_MS else was_ms


async def finals(subscription: Subscription) -> list[EmotionEvent]:
    messages = [decode(text)[1] async for _, text in subscription]
    return [message for message in messages if isinstance(message, EmotionEvent) and message.status == "final"]


async def turns_of(pcm: Float32, models: Models, settings: Settings) -> list[Turn]:
    async def source() -> AsyncIterator[AudioChunk]:
        yield AudioChunk(Track("a", "a"), 0.0, pcm)

    config = replace(segmenter_config(settings), provisional_ms=0.0, interim_ms=0.0)
    updates = TurnDetector(models.vad, config, itertools.count(1)).detect(source())
    return [update async for update in updates if isinstance(update, Turn)]


async def bare(recording: Float32, start_s: float, end_s: float, models: Models) -> float:
    """Milliseconds that recognising this part takes."""
    before_s, after_s = Settings().pre_roll_ms / 1e3, TAIL_MS / 1e3
    pcm = recording[round(max(0.0, start_s - before_s) * SAMPLE_RATE) : round((end_s + after_s) * SAMPLE_RATE)]
    started = time.perf_counter()
    await models.transcribe(pcm)
    return 1e3 * (time.perf_counter() - started)


async def in_browser(settings: Settings, seconds: float) -> dict[str, Any]:
    """One channel of the demo, by microphone, WebRTC and /events."""
    side = SPEAKERS[0]
    speech = await said_by(side, seconds)
    recording = np.pad(speech, (round(LEAD_S * SAMPLE_RATE), 60 * SAMPLE_RATE))
    async with serving(settings) as (supervisor, url):
        whole = recording[: len(speech) + round((LEAD_S + 2) * SAMPLE_RATE)]
        turns = await turns_of(whole, supervisor.models, settings)
        with tempfile.TemporaryDirectory() as folder:
            flags = capture_devices(Path(folder), recording, (40, 40, 200))
            async with browser(*flags) as context:
                page = await context.new_page()
                arrived, first_sound_s = await call(page, url, side, turns[-1].end_s - turns[0].start_s)
        began_s = first_sound_s - int(np.argmax(np.abs(recording) > LOUD)) / SAMPLE_RATE
        shift_s = shift(turns, [it for _, it in arrived])
        times_s = [(it.start_s + shift_s, it.end_s + shift_s) for _, it in arrived]
        bare_ms = [await bare(recording, *it, supervisor.models) for it in times_s]
    after_ms = [1e3 * (at_s - began_s - end_s) for (at_s, _), (_, end_s) in zip(arrived, times_s, strict=True)]
    late_ms = [after - silence_ms(it, settings) for after, (_, it) in zip(after_ms, arrived, strict=True)]
    stages = [it.timings_ms | {"end_to_end": ms} for (_, it), ms in zip(arrived, after_ms, strict=True)]
    return summary(late_ms[1:], bare_ms[1:], stages[1:])


def shift(turns: list[Turn], events: list[EmotionEvent]) -> float:
    """Seconds from the conversation's time to the recording's: by the first start, then by all ends, each to its turn.

    A single time is exact to a window of the VAD only.
    """
    about_s = turns[0].start_s - events[0].start_s
    return about_s + median(min((turn.end_s - it.end_s - about_s for turn in turns), key=abs) for it in events)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Supervisor, str]]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(
            serve(create_app(supervisor, settings, access=Access(None)), settings, url.set_result)
        )
        yield supervisor, await url
        server.cancel()


async def call(page: Page, url: str, name: str, spoken_s: float) -> tuple[list[tuple[float, EmotionEvent]], float]:
    """(time of arrival, final) of each final, and the time of the microphone's first sound, in seconds since 1970.

    `spoken_s`: from the start of the first turn to the end of the last.
    """
    arrived: list[tuple[float, EmotionEvent]] = []
    events = url.replace("http", "ws") + "/events?conversation=talk"  # the conversation that `join` joins
    async with connect(events, proxy=None) as socket:
        await join(page, url, name)
        await page.evaluate(LISTEN)
        while not arrived or arrived[-1][1].end_s - arrived[0][1].start_s < spoken_s - CLOSE_S:
            _, message = decode(await socket.recv())
            if isinstance(message, EmotionEvent) and message.status == "final":
                arrived.append((time.time(), message))
    return arrived, await page.evaluate("window.firstSound") / 1e3


def summary(late_ms: list[float], bare_ms: list[float], stages: list[dict[str, float]]) -> dict[str, Any]:
    columns = {"bare recognition": bare_ms, **{name: [it[name] for it in stages] for name in stages[0]}}
    return {
        "turns": len(late_ms),
        "ratio": sum(late_ms) / sum(bare_ms),
        "ratio_p50": median(late / alone for late, alone in zip(late_ms, bare_ms, strict=True)),
        "late_p50_ms": median(late_ms),
        "stages_ms": {name: (median(it), float(np.percentile(it, 95))) for name, it in columns.items()},
    }


async def measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    settings = Settings(whisper_model=options.whisper_model, port=0)
    at_the_end = Settings(whisper_model=options.whisper_model, provisional_ms=0)
    results = {
        "analysed at the provisional end": await in_process(settings, options.seconds),
        "analysed at the final end": await in_process(at_the_end, options.seconds),
    }
    if BROWSER is not None and not options.no_browser:
        results["from a browser's microphone"] = await in_browser(settings, options.seconds)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of the demo to play (default: 60)")
    parser.add_argument("--whisper-model", default="tiny.en", help="folder, size or hub id (default: tiny.en)")
    parser.add_argument("--no-browser", action="store_true", help="leave the browser out")
    options = parser.parse_args()
    results = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        ratio = f"{result['ratio_p50']:.2f} at the median, {result['ratio']:.2f} on average"
        title = f"{name}: {result['turns']} turns, (after speech - silence) / recognition = {ratio}"
        table = Table(title=f"{title} (target {TARGET})", title_justify="left", min_width=100)
        for heading in ("stage", "p50, ms", "p95, ms"):
            table.add_column(heading, justify="right")
        for stage, (p50, p95) in result["stages_ms"].items():
            table.add_row(stage, f"{p50:.0f}", f"{p95:.0f}")
        Console().print(table)


if __name__ == "__main__":
    main()
