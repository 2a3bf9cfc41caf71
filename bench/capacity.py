"""How many conversations does one engine serve before their events come late?

    python bench/capacity.py [--json] [--conversations 4 8 12 16 20] [--seconds 45] [--cores 2] [--recordings FOLDER]

One process on so many cores, with real models (Whisper tiny.en) and default settings. In each conversation two speakers
take turns, each on a track of their own that arrives in packets of 20 ms, and somebody speaks half of the time: after
each turn comes a silence of the same duration. The turns are those that turn detection finds in real recordings, in
another order for each conversation (those of the demo where there are no recordings). The default FOLDER is
$CBERL_SHARED/data/conversations.

For each number of conversations: the time from the end of speech, by when it was due to arrive, to the final event,
over all turns but the first of each conversation; the share of turns that were recognised before their end; and the
processor time used. Stops at the first number whose 95th percentile exceeds 1.5 s. The target is 12 conversations.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.conversation.models import Models
from engine.delivery.subscription import Subscription
from engine.delivery.wire import decode
from engine.demo.play import as_live
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import AudioChunk, PullSource, Track
from engine.server.supervisor import Supervisor, open_supervisor
from engine.speech.turn import Turn
from engine.speech.turn_detector import TurnDetector, segmenter_config

RECORDINGS = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared")) / "data/conversations"
DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
LIMIT_MS, TARGET = 1500.0, 12
TURN_S = (1.0, 12.0)  # turns of these durations are used
READ_S = 60.0  # of each recording
LEAST_PAUSE_S = 1.5
ROOM = 2e-4  # RMS of the noise between turns
SPEAKERS = ("ann", "bob")


def recordings_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in {".wav", ".flac", ".opus"}] or [DEMO]


async def turns_in(recordings: list[Path], models: Models) -> list[Float32]:
    """What people say in the recordings, turn by turn."""
    config = segmenter_config(Settings(interim_ms=0, provisional_ms=0))
    turns: list[Float32] = []
    for path in recordings:
        updates = TurnDetector(models.vad, config, itertools.count(1)).detect(beginning(path))
        turns += [it.pcm async for it in updates if isinstance(it, Turn)]
    return [pcm for pcm in turns if TURN_S[0] <= len(pcm) / SAMPLE_RATE <= TURN_S[1]]


async def beginning(path: Path) -> AsyncIterator[AudioChunk]:
    async for chunk in read_media(str(path)):
        if chunk.start_s > READ_S:
            return
        yield chunk


def conversation(turns: list[Float32], seed: int, seconds: float) -> list[AudioChunk]:
    """Two tracks in chunks of 1 s; `seed` decides on the order of the turns and when the first one starts."""
    rng = np.random.default_rng(seed)
    channels = rng.normal(0, ROOM, (len(SPEAKERS), round(seconds * SAMPLE_RATE))).astype(np.float32)
    at = round(rng.uniform(0.5, 6.0) * SAMPLE_RATE)
    for n, number in enumerate(itertools.chain.from_iterable(rng.permutation(len(turns)) for _ in itertools.count())):
        pcm = turns[number]
        if at + len(pcm) + LEAST_PAUSE_S * SAMPLE_RATE > channels.shape[1]:
            break
        channels[n % len(SPEAKERS), at : at + len(pcm)] += pcm
        at += len(pcm) + max(len(pcm), round(LEAST_PAUSE_S * SAMPLE_RATE))
    tracks = [Track(f"audio-{n + 1}", speaker) for n, speaker in enumerate(SPEAKERS)]
    return [
        AudioChunk(track, start / SAMPLE_RATE, channel[start : start + SAMPLE_RATE])
        for start in range(0, channels.shape[1], SAMPLE_RATE)
        for track, channel in zip(tracks, channels, strict=True)
    ]


async def serve(supervisor: Supervisor, name: str, chunks: list[AudioChunk]) -> list[EmotionEvent]:
    async def recording() -> AsyncIterator[AudioChunk]:
        for chunk in chunks:
            yield chunk

    subscription = supervisor.hub.subscribe(name)
    async with asyncio.TaskGroup() as tasks:
        finals = tasks.create_task(finals_of(subscription))
        await supervisor.join(name, PullSource(as_live(recording())), live=True)
        subscription.end("done")
    return finals.result()


async def finals_of(subscription: Subscription) -> list[EmotionEvent]:
    messages = [decode(text)[1] async for _, text in subscription]
    return [it for it in messages if isinstance(it, EmotionEvent) and it.status == "final"]


async def at_once(supervisor: Supervisor, turns: list[Float32], count: int, seconds: float) -> dict[str, Any]:
    media = [conversation(turns, seed, seconds) for seed in range(count)]
    begun, used = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        served = [tasks.create_task(serve(supervisor, f"{count}-{n}", it)) for n, it in enumerate(media)]
    cores = (time.process_time() - used) / (time.monotonic() - begun)
    events = [event for it in served for event in it.result()[1:]]
    after_ms = [it.timings_ms["after_speech"] for it in events]
    ahead = [it.timings_ms["after_speech"] - it.timings_ms["turn"] < it.timings_ms["transcribe"] for it in events]
    p50, p95 = np.percentile(after_ms, [50, 95])
    return {
        "conversations": count,
        "turns": len(events),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "ahead": float(np.mean(ahead)),
        "cores": cores,
    }


async def measure(options: argparse.Namespace, recordings: list[Path]) -> list[dict[str, Any]]:
    settings = Settings(whisper_model="tiny.en", max_sessions=1000, rejoin_grace_s=0)
    rows: list[dict[str, Any]] = []
    async with open_supervisor(settings) as supervisor:
        turns = await turns_in(recordings, supervisor.models)
        for count in options.conversations:
            rows.append(await at_once(supervisor, turns, count, options.seconds))
            if rows[-1]["p95_ms"] > LIMIT_MS:
                break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    parser.add_argument("--conversations", type=int, nargs="+", default=[4, 8, 12, 16, 20], help="numbers to try")
    parser.add_argument("--seconds", type=float, default=45.0, help="duration of each conversation (default: 45)")
    parser.add_argument("--cores", type=int, default=2, help="cores to use (default: 2)")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="folder with recordings of speech")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # on Linux; before any model counts the cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    rows = asyncio.run(measure(options, recordings_in(options.recordings)))
    if options.json:
        print(json.dumps(rows))
        return
    served = max((row["conversations"] for row in rows if row["p95_ms"] <= LIMIT_MS), default=0)
    title = f"{served} conversations with p95 up to {LIMIT_MS / 1e3:g} s (target {TARGET})"
    table = Table("conversations", "turns", "p50, ms", "p95, ms", "ahead, %", "cores used", title=title, min_width=80)
    for row in rows:
        ahead = f"{100 * row['ahead']:.0f}"
        table.add_row(
            str(row["conversations"]), str(row["turns"]), f"{row['p50_ms']:.0f}", f"{row['p95_ms']:.0f}", ahead,
            f"{row['cores']:.2f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
