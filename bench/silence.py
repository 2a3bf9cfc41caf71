"""Which windows of audio, in a long silence, does the voice activity network not get, and which turns differ by that?

    python bench/silence.py [--json] [FILE ...]

Without files, the two speakers of the demo conversation, each on a track. For each recording: the share of windows that
the network gets, the turns with and without `QuietGate`, and how many begin and end within two windows of one of those.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.ingest.file import read_media
from engine.media import AudioChunk
from engine.runtime.worker import Worker
from engine.speech import turn_detector
from engine.speech.turn import Turn
from engine.speech.vad import WINDOW, QuietGate, SileroVad, VadRequest, VadResult

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
NEAR_S = 2 * WINDOW / SAMPLE_RATE


class _OpenGate(QuietGate):
    def __call__(self, windows: Float32) -> list[bool]:
        return [False] * len(windows)


async def turns_and_windows(chunks: list[AudioChunk], gate: type[QuietGate]) -> tuple[list[Turn], int]:
    """The turns, and how many windows the network got."""
    network, given = SileroVad(), 0

    def run(requests: list[VadRequest]) -> list[VadResult]:
        nonlocal given
        given += sum(len(it.windows) for it in requests)
        return network.run(requests)

    async def source() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    turn_detector.QuietGate = gate  # type: ignore[misc]
    async with Worker(run, name="vad", max_batch=64) as vad:
        detector = turn_detector.TurnDetector(vad, turn_detector.segmenter_config(Settings()), count(1))
        found = [it async for it in detector.detect(source()) if isinstance(it, Turn) and it.stage == "final"]
    return found, given


async def compare(name: str, chunks: list[AudioChunk]) -> dict[str, Any]:
    turns, given = await turns_and_windows(chunks, QuietGate)
    before, of = await turns_and_windows(chunks, _OpenGate)
    near = sum(
        any(abs(one.start_s - it.start_s) <= NEAR_S and abs(one.end_s - it.end_s) <= NEAR_S for it in before)
        for one in turns
    )
    return {"recording": name, "given": round(given / of, 2), "turns": len(turns), "before": len(before), "near": near}


async def measure(files: list[str]) -> list[dict[str, Any]]:
    rows = [await compare(Path(file).name, [it async for it in read_media(file)]) for file in files]
    if files:
        return rows
    chunks = [it async for it in read_media(str(DEMO), speakers=("a", "b"))]
    return [await compare(f"demo, {who}", [it for it in chunks if it.track.speaker == who]) for who in ("a", "b")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.files))
    if options.json:
        print(json.dumps(rows))
        return
    table = Table("recording", "given to the network", "turns", "turns without the gate", "near")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
