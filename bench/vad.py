"""What does turn detection cost: how much of a core does one track take?

    python bench/vad.py [--seconds 60] [--tracks 1,4,16] [--json]

The demo conversation through the streaming detector (Silero VAD, segmenter, worker), on as many tracks at once as
requested, as fast as possible. CPU time of the whole process divided by the duration of all tracks, in percent of one
core; the target is 1 % per track.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

import engine.demo
from engine.config import Settings
from engine.ingest.file import read_media
from engine.media import AudioChunk
from engine.runtime.worker import Worker
from engine.speech.segmenter import SegmenterConfig
from engine.speech.turn_detector import TurnDetector
from engine.speech.vad import SileroVad

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
TARGET_PERCENT = 1.0


async def cost_percent(chunks: list[AudioChunk], tracks: int) -> float:
    async def source() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    settings = Settings()
    config = SegmenterConfig(
        pre_roll_ms=settings.pre_roll_ms,
        min_speech_ms=settings.min_speech_ms,
        end_silence_ms=settings.end_silence_ms,
    )

    async def listen(vad: Worker) -> int:  # type: ignore[type-arg]
        return len([turn async for turn in TurnDetector(vad, config, count(1)).detect(source())])

    async with Worker(SileroVad().run, name="vad", max_batch=64) as vad:
        await listen(vad)  # warms up
        started = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(tracks):
                group.create_task(listen(vad))
        return 100 * (time.process_time() - started) / (tracks * (chunks[-1].end_s - chunks[0].start_s))


async def measure(seconds: float, tracks: list[int]) -> dict[int, float]:
    everything = [it async for it in read_media(str(DEMO), speakers=("a", "b")) if it.start_s < seconds]
    one = [it for it in everything if it.track.speaker == "a"]
    return {number: round(await cost_percent(one, number), 2) for number in tracks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tracks", default="1,4,16")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    costs = asyncio.run(measure(args.seconds, [int(it) for it in args.tracks.split(",")]))
    if args.json:
        print(json.dumps(costs))
        return
    table = Table("tracks", "% of a core per track", title=f"target {TARGET_PERCENT:g} %", title_justify="left")
    for number, percent in costs.items():
        table.add_row(str(number), f"{percent:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
