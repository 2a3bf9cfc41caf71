"""How long after the end of speech is the emotion event published, and what does early analysis save?

    python bench/latency.py [--json] [--seconds 60] [--whisper-model tiny.en] [--no-browser]

Plays the demo conversation in real time through a session with real models: with analysis that starts at the
provisional end of a turn (the default), and at its final end. Then one speaker's channel is the microphone of a real
Chromium in the call page: by WHIP to a real server, and back by /events.

The main figure is (time from the end of speech to the event - the silence that ends a turn) / bare recognition
time of the same turns, each recognised whole and alone by the same process in the same run. 1 means that recognition
starts when the turn is over; the target is 0.3.

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
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import engine.demo
from cberl.types import SAMPLE_RATE
from engine.config import Settings
from engine.conversation.models import Models
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import AudioChunk, PullSource, Track
from engine.server.app import create_app, serve
from engine.server.supervisor import Supervisor, open_supervisor
from engine.speech.turn import Turn
from engine.speech.turn_detector import TurnDetector, segmenter_config
from testing.browser_page import BROWSER, Page, browser
from testing.call_page import capture_devices, join

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKERS = ["maya", "tom"]
TARGET = 0.3
PACKET = SAMPLE_RATE // 50
LEAD_S = 4.0  # of silence, until the call is connected
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
    chunks = [it async for it in read_media(str(DEMO), speakers=SPEAKERS) if it.start_s < seconds]
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        subscription = supervisor.hub.subscribe("bench")
        heard = tasks.create_task(finals(subscription))
        await supervisor.join("bench", PullSource(paced(chunks)), live=True)
        subscription.end("done")
        events = await heard
        turns = await turns_of(chunks, supervisor.models, settings)
        bare_ms = {turn.end_s: await bare(turn, supervisor.models) for turn in turns}
    silence_ms = settings.end_silence_ms
    # The first turn warms up. A turn that the end of the source cut short had no full silence, and does not count.
    counted = [it for it in events[1:] if it.timings_ms["turn"] >= silence_ms]
    late_ms = [it.timings_ms["after_speech"] - silence_ms for it in counted]
    bare_of = [bare_ms[min(bare_ms, key=lambda end_s, it=it: abs(end_s - it.end_s))] for it in counted]
    return summary(late_ms, bare_of, [it.timings_ms for it in counted])


async def paced(chunks: Iterable[AudioChunk]) -> AsyncIterator[AudioChunk]:
    """In chunks of 20 ms, as in calls, each when its last sample is spoken."""
    pieces = [
        AudioChunk(it.track, it.start_s + at / SAMPLE_RATE, it.pcm[at : at + PACKET])
        for it in chunks
        for at in range(0, len(it.pcm), PACKET)
    ]
    begun = time.monotonic()
    for it in sorted(pieces, key=lambda piece: piece.end_s):
        await asyncio.sleep(max(0.0, begun + it.end_s - time.monotonic()))
        yield replace(it, arrived_at=time.monotonic())


async def finals(subscription: Subscription) -> list[EmotionEvent]:
    messages = [decode(text)[1] async for _, text in subscription]
    return [message for message in messages if isinstance(message, EmotionEvent) and message.status == "final"]


async def turns_of(chunks: Iterable[AudioChunk], models: Models, settings: Settings) -> list[Turn]:
    async def source() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    config = replace(segmenter_config(settings), provisional_ms=0.0, interim_ms=0.0)
    updates = TurnDetector(models.vad, config, itertools.count(1)).detect(source())
    return [update async for update in updates if isinstance(update, Turn)]


async def bare(turn: Turn, models: Models) -> float:
    started = time.perf_counter()
    await models.transcribe(turn.pcm)
    return 1e3 * (time.perf_counter() - started)


async def in_browser(settings: Settings, seconds: float) -> dict[str, Any]:
    """One channel of the demo, by microphone, WebRTC and /events."""
    side = SPEAKERS[0]
    chunks = [it async for it in read_media(str(DEMO), speakers=SPEAKERS) if it.start_s < seconds]
    speech = np.concatenate([it.pcm for it in chunks if it.track.speaker == side])
    recording = np.pad(speech, (round(LEAD_S * SAMPLE_RATE), 60 * SAMPLE_RATE))
    async with serving(settings) as (supervisor, url):
        whole = [AudioChunk(Track(side, side), 0.0, recording[: len(speech) + round((LEAD_S + 2) * SAMPLE_RATE)])]
        turns = await turns_of(whole, supervisor.models, settings)
        with tempfile.TemporaryDirectory() as folder:
            flags = capture_devices(Path(folder), recording, (40, 40, 200))
            async with browser(Path(folder) / "profile", *flags) as page:
                arrived, first_sound_s = await call(page, url, side, len(turns))
        began_s = first_sound_s - int(np.argmax(np.abs(recording) > LOUD)) / SAMPLE_RATE
        bare_ms = [await bare(turn, supervisor.models) for turn in turns]
    after_ms = [1e3 * (at_s - began_s - turn.end_s) for (at_s, _), turn in zip(arrived, turns, strict=True)]
    late_ms = [after - settings.end_silence_ms for after in after_ms]
    stages = [it.timings_ms | {"end_to_end": ms} for (_, it), ms in zip(arrived, after_ms, strict=True)]
    return summary(late_ms[1:], bare_ms[1:], stages[1:])


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Supervisor, str]]:
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(serve(create_app(supervisor, settings), settings, url.set_result))
        yield supervisor, await url
        server.cancel()


async def call(page: Page, url: str, name: str, turns: int) -> tuple[list[tuple[float, EmotionEvent]], float]:
    """(time of arrival, final) of each final, and the time of the microphone's first sound, in seconds since 1970."""
    arrived: list[tuple[float, EmotionEvent]] = []
    events = url.replace("http", "ws") + "/events?conversation=talk"  # the conversation that `join` joins
    async with connect(events, proxy=None) as socket:
        await join(page, url, name)
        await page.evaluate(LISTEN)
        while len(arrived) < turns:
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
        title = f"{name}: {result['turns']} turns, (after speech - silence) / recognition = {result['ratio']:.2f}"
        table = Table(title=f"{title} (target {TARGET})", title_justify="left", min_width=100)
        for heading in ("stage", "p50, ms", "p95, ms"):
            table.add_column(heading, justify="right")
        for stage, (p50, p95) in result["stages_ms"].items():
            table.add_row(stage, f"{p50:.0f}", f"{p95:.0f}")
        Console().print(table)


if __name__ == "__main__":
    main()
