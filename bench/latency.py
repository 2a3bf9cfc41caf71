"""How long after somebody stopped speaking does their emotion come, and what does work begun early save?

    python bench/latency.py [--json] [--seconds 60]

Plays the demo conversation at the speed of life through a session with real models, twice: with `provisional_ms` as
it is by default, and without. Prints each stage's p50 and p95, and the figure that counts: (time from the end of speech
to the event - the silence that ends a turn) / bare recognition time of the same turns in the same run. 1 means that
recognition starts when the turn is over; the target is 0.3.
"""

import argparse
import asyncio
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import engine.demo
from engine.config import Settings
from engine.ingest.media import read_media
from engine.messages import AudioChunk, EmotionEvent
from engine.publish.subscription import Subscription
from engine.publish.wire import decode
from engine.supervisor import open_supervisor

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
TARGET = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--seconds", type=float, default=60.0, help="how much of the demo is played (default: 60)")
    parser.add_argument("--asr", default="sphinx", choices=("auto", "whisper", "sphinx"))
    args = parser.parse_args()
    results = {
        name: summary(asyncio.run(play(Settings(asr=args.asr, **flags), args.seconds)), Settings().end_silence_ms)
        for name, flags in {"begun early": {}, "begun at the end": {"provisional_ms": 0}}.items()
    }
    if args.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        title = f"{name}: {result['turns']} turns; (after speech - silence) / recognition = {result['ratio']:.2f}"
        table = Table(title=f"{title} (target {TARGET})", title_justify="left")
        for heading in ("stage", "p50, ms", "p95, ms"):
            table.add_column(heading, justify="right")
        for stage, (p50, p95) in result["stages_ms"].items():
            table.add_row(stage, f"{p50:.0f}", f"{p95:.0f}")
        Console().print(table)


async def play(settings: Settings, seconds: float) -> list[EmotionEvent]:
    """The final events of the demo, played by a live publisher."""

    async def source() -> Any:
        async for chunk in read_media(str(DEMO), realtime=True, speakers=["maya", "tom"]):
            if chunk.start_s >= seconds:
                return
            yield AudioChunk(chunk.track, chunk.start_s, chunk.pcm)

    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        subscription = supervisor.hub.subscribe("bench")
        heard = tasks.create_task(finals(subscription))
        await supervisor.join("bench", source(), live=True)
        subscription.end("done")
    return heard.result()


async def finals(subscription: Subscription) -> list[EmotionEvent]:
    messages = [decode(text)[1] async for _, text in subscription]
    return [message for message in messages if isinstance(message, EmotionEvent) and message.status == "final"]


def summary(events: list[EmotionEvent], silence_ms: float) -> dict[str, Any]:
    """The first turn warms up. What the source's end cut short had no whole silence, and does not count."""
    counted = [event.timings_ms for event in events[1:] if event.timings_ms["turn"] >= silence_ms]
    stages = {
        stage: (median(values), float(np.percentile(values, 95)))
        for stage in counted[0]
        for values in [[timings[stage] for timings in counted]]
    }
    ratios = [(it["after_speech"] - silence_ms) / it["transcribe"] for it in counted]
    totals = sum(it["after_speech"] - silence_ms for it in counted) / sum(it["transcribe"] for it in counted)
    return {"turns": len(counted), "ratio": totals, "ratio_p50": median(ratios), "stages_ms": stages}


if __name__ == "__main__":
    main()
