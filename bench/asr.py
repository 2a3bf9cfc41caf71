"""What does the recogniser get wrong, what does it invent, and what does it cost beside faster-whisper's `transcribe`?

    python bench/asr.py [--json] [--clips 100] [--noises 410] [--turns 10] [--model tiny.en]

Three tables, all on one thread in one run:

- Word error rate and time on RAVDESS (two sentences, 20 actors, eight emotions), beside faster-whisper's `transcribe`
  of the same clips with the same weights (beam 1, int8), which always pads to 30 s.
- Windows: word error rate of one to several turns of the demo conversation by how much of the window is left empty,
  decoded once and without a guard against repetition. It says which margin a window needs.
- Invented text: everyday sounds (ESC-10 and others) in which nobody speaks, given to the recogniser whole, and as the
  turns that turn detection makes of them.

Reads ravdess and noise in $CBERL_SHARED/data; what is not there is left out.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table
from torchaudio.functional import edit_distance

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.ingest.file import read_media
from engine.media import AudioChunk, Track
from engine.runtime.worker import Worker
from engine.speech.choose import folder_of
from engine.speech.turn import Turn
from engine.speech.turn_detector import TurnDetector, segmenter_config
from engine.speech.vad import SileroVad
from engine.speech.whisper import WhisperTranscriber
from engine.speech.whisper_window import FULL_S, WINDOWS_S
from testing.live_engine import SCRIPT, demo

DATA = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared")) / "data"
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
TARGET_WER, TARGET_RATIO, TARGET_INVENTED = 0.04, 0.35, 0.01
LEFT_S = (0, 1, 2, 4, 8)  # seconds of a window left empty: limits of the groups
ROLL_S = 0.2  # kept before and after a turn


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Of (said, heard)."""
    wrong = sum(edit_distance(words(said), words(heard)) for said, heard in pairs)
    return float(wrong / sum(len(words(said)) for said, _ in pairs))


async def read(path: Path) -> Float32:
    return np.concatenate([chunk.pcm async for chunk in read_media(str(path))])


def every(files: list[Path], count: int) -> list[Path]:
    """So many of them, evenly spread."""
    return [files[n * len(files) // count] for n in range(count)] if count < len(files) else files


def said_in(path: Path) -> str:
    return SENTENCES[path.stem.split("-")[4]]


async def acted(whisper: WhisperTranscriber, model: Path, count: int) -> dict[str, Any]:
    peer = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)
    pairs: dict[str, list[tuple[str, str]]] = {"this": [], "faster-whisper": []}
    took: dict[str, list[float]] = {"this": [], "faster-whisper": []}
    for path in every(sorted((DATA / "ravdess").glob("*.flac")), count):
        pcm = await read(path)
        for name in pairs:
            started = time.perf_counter()
            text = whisper.transcribe([pcm])[0].text if name == "this" else _by_peer(peer, pcm)
            took[name].append(time.perf_counter() - started)
            pairs[name].append((said_in(path), text))
    return {
        "clips": len(pairs["this"]),
        "wer": {name: word_error_rate(it) for name, it in pairs.items()},
        "ms": {name: 1e3 * median(it) for name, it in took.items()},
        "ratio": median(mine / theirs for mine, theirs in zip(*took.values(), strict=True)),
        "worse_clips": [
            (said, mine, theirs)
            for (said, mine), (_, theirs) in zip(*pairs.values(), strict=True)
            if word_error_rate([(said, mine)]) > word_error_rate([(said, theirs)])
        ],
    }


def _by_peer(peer: WhisperModel, pcm: Float32) -> str:
    segments, _ = peer.transcribe(
        pcm, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
    )
    return " ".join(segment.text for segment in segments)


def windows(whisper: WhisperTranscriber, starts: int) -> dict[str, Any]:
    """Word error rates of the same turns in a window and in 30 s, by how many seconds of the window are left empty."""
    turns, pcm = SCRIPT.turns, demo().sum(axis=0)
    pairs: dict[tuple[int, str, int], list[tuple[str, str]]] = defaultdict(list)
    for window, first in itertools.product(WINDOWS_S[:-1], range(min(starts, len(turns)))):
        begin_s = turns[first].start_s - ROLL_S
        for last in range(first, len(turns)):
            end_s = turns[last].end_s + ROLL_S
            left_s = window - (end_s - begin_s)
            label = next((f"{low}-{high}" for low, high in itertools.pairwise(LEFT_S) if low <= left_s < high), None)
            if label is None:
                continue
            clip = pcm[round(begin_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
            said = " ".join(turn.text for turn in turns[first : last + 1])
            for tried in (window, FULL_S):
                pairs[window, label, tried].append((said, whisper.decode([clip], [tried])[0].text))
    return {
        f"{window} s, {label} s left ({len(found)} turns)": tuple(
            word_error_rate(pairs[window, label, it]) for it in (window, FULL_S)
        )
        for (window, label, tried), found in sorted(pairs.items())
        if tried == window
    }


async def invented(whisper: WhisperTranscriber, count: int) -> dict[str, Any]:
    whole, turns = [], []
    files = every(sorted((DATA / "noise").glob("*.opus")), count)
    async with Worker(SileroVad().run, name="vad") as vad:
        for path in files:
            pcm = await read(path)
            whole.append((path.stem, whisper.transcribe([pcm])[0].text))
            clips = [turn.pcm for turn in await _turns(pcm, vad)]
            turns.append((path.stem, " / ".join(it.text for it in whisper.transcribe(clips) if it.text)))
    return {
        "clips": len(files),
        "whole clips": [it for it in whole if it[1]],
        "detected turns": [it for it in turns if it[1]],
    }


async def _turns(pcm: Float32, vad: Worker[Any, Any]) -> list[Turn]:
    async def source() -> AsyncIterator[AudioChunk]:
        for at in range(0, len(pcm), SAMPLE_RATE):
            yield AudioChunk(Track("noise", "nobody"), at / SAMPLE_RATE, pcm[at : at + SAMPLE_RATE])

    detector = TurnDetector(vad, segmenter_config(Settings(interim_ms=0, provisional_ms=0)), itertools.count(1))
    return [it async for it in detector.detect(source()) if isinstance(it, Turn)]


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    folder = folder_of(options.model, timeout_s=3.0)
    whisper = WhisperTranscriber(folder, threads=1)
    found: dict[str, Any] = {"model": options.model, "windows": windows(whisper, options.turns)}
    if (DATA / "ravdess").exists():
        found["acted"] = await acted(whisper, folder, options.clips)
    if (DATA / "noise").exists():
        found["invented"] = await invented(whisper, options.noises)
    return found


def show(found: dict[str, Any]) -> None:
    console = Console()
    if acted := found.get("acted"):
        title = f"RAVDESS, {acted['clips']} clips: time ratio {acted['ratio']:.2f} (target {TARGET_RATIO})"
        table = Table("recogniser", "WER, %", "ms, median", title=title, title_justify="left", min_width=80)
        for name, wer in acted["wer"].items():
            table.add_row(name, f"{100 * wer:.1f}", f"{acted['ms'][name]:.0f}")
        console.print(table)
        for said, mine, theirs in acted["worse_clips"]:
            console.print(f"worse than in 30 s: {said!r} {mine!r} {theirs!r}")
    if windows := found.get("windows"):
        title = "Demo conversation, decoded once: WER, %"
        table = Table("window", "in it", "in 30 s", title=title, title_justify="left", min_width=50)
        for name, (fitted, full) in windows.items():
            table.add_row(name, f"{100 * fitted:.1f}", f"{100 * full:.1f}")
        console.print(table)
    if invented := found.get("invented"):
        table = Table("noise with text", "text", title_justify="left", title=f"Noise, {invented['clips']} clips")
        for name in ("whole clips", "detected turns"):
            share = len(invented[name]) / invented["clips"]
            table.add_row(f"{name}: {100 * share:.1f} % (target {100 * TARGET_INVENTED:g} %)", "", style="bold")
            for stem, text in invented[name]:
                table.add_row(stem, text[:60])
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--clips", type=int, default=100, help="RAVDESS clips (default: 100)")
    parser.add_argument("--noises", type=int, default=410, help="clips of noise (default: 410)")
    parser.add_argument("--turns", type=int, default=10, help="turns of the demo that windows start at (default: 10)")
    parser.add_argument("--model", default="tiny.en", help="folder, size or hub id (default: tiny.en)")
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    print(json.dumps(found)) if options.json else show(found)


if __name__ == "__main__":
    main()
