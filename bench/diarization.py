"""Who speaks, when one microphone hears all: diarization error rate of the online speakers, on recordings with an RTTM.

    python bench/diarization.py CONVERSATIONS [--json] [--same 0.75] [--merge 0.88]

CONVERSATIONS is a folder with pyannote_sample.wav and .rttm, and AMI excerpts in ami/ with debug.train.rttm. Everything
runs as it does live: turns by the VAD, each one's voice, speakers online; relabelled turns count under their last name.
Beside it, two figures that say what that is worth: one speaker for all, and each turn given its best speaker, which no
attribution of whole turns can beat. DER as pyannote.metrics counts it, no collar, overlaps included.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from rich.console import Console
from rich.table import Table

from engine.messages import SAMPLE_RATE, AudioChunk, Float32, Track, Turn
from engine.turns.detector import detect_turns
from engine.turns.segmenter import SegmenterConfig
from engine.turns.speakers import OnlineSpeakers, SpeakersConfig
from engine.turns.vad import SileroVad
from engine.turns.voice import GE2E
from engine.worker import Worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--same", type=float, nargs="+", default=[SpeakersConfig().same])
    parser.add_argument("--merge", type=float, default=SpeakersConfig().merge)
    parser.add_argument("--silence-ms", type=float, default=500.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    heard = asyncio.run(listen(args.conversations, args.silence_ms))
    rows = [{"same": same} | score(heard, SpeakersConfig(same=same, merge=max(args.merge, same))) for same in args.same]
    if args.json:
        print(json.dumps(rows))
        return
    table = Table(title=f"DER, {len(heard)} recordings, {sum(len(turns) for _, turns, _ in heard)} turns")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" for value in row.values()))
    Console().print(table)


Recording = tuple[Annotation, list[tuple[Turn, Any]], float]


async def listen(folder: Path, silence_ms: float) -> list[Recording]:
    voices = GE2E()
    heard: list[Recording] = []
    async with Worker(SileroVad().run, name="vad") as vad:
        for path, reference in recordings(folder):
            pcm = decoded(path)
            config = SegmenterConfig(end_silence_ms=silence_ms, min_speech_ms=250)
            found = [turn async for turn in detect_turns(stream(pcm), vad, config, count(1)) if isinstance(turn, Turn)]
            embedded = [(turn, voices.embed([turn.pcm])[0]) for turn in found]
            heard.append((reference, embedded, len(pcm) / SAMPLE_RATE))
    return heard


def recordings(folder: Path) -> list[tuple[Path, Annotation]]:
    """Those whose sound is there."""
    (sample,) = read_rttm(folder / "pyannote_sample.rttm").values()
    ami = read_rttm(folder / "ami/debug.train.rttm")
    named = {folder / "pyannote_sample.wav": sample} | {folder / f"ami/{name}.flac": it for name, it in ami.items()}
    return [(path, reference) for path, reference in named.items() if path.exists()]


def decoded(path: Path) -> Float32:
    """float32[n], mono at 16 kHz."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


async def stream(pcm: Float32) -> AsyncIterator[AudioChunk]:
    step = 10 * SAMPLE_RATE
    for at in range(0, len(pcm), step):
        yield AudioChunk(Track("room", "room"), at / SAMPLE_RATE, pcm[at : at + step])


def score(heard: list[Recording], config: SpeakersConfig) -> dict[str, float]:
    """DER of all recordings together."""
    online, single, best = DiarizationErrorRate(), DiarizationErrorRate(), DiarizationErrorRate()
    for reference, turns, duration_s in heard:
        whole = Timeline([Segment(0, duration_s)])
        online(reference, named(turns, attribute(turns, config)), uem=whole)
        single(reference, named(turns, [1] * len(turns)), uem=whole)
        best(reference, named(turns, [reference.argmax(span(turn)) or 0 for turn, _ in turns]), uem=whole)
    return {"online": abs(online), "one speaker": abs(single), "best for whole turns": abs(best)}


def attribute(turns: list[tuple[Turn, Any]], config: SpeakersConfig) -> list[int]:
    speakers = OnlineSpeakers(config)
    names: dict[int, int] = {}
    for turn, voice in turns:
        names[turn.turn_id], relabels = speakers.push(turn.turn_id, voice, turn.end_s - turn.start_s)
        names |= {relabel.turn_id: relabel.speaker for relabel in relabels}
    return [names[turn.turn_id] for turn, _ in turns]


def named(turns: list[tuple[Turn, Any]], names: list[Any]) -> Annotation:
    annotation = Annotation()
    for (turn, _), name in zip(turns, names, strict=True):
        annotation[span(turn)] = name
    return annotation


def span(turn: Turn) -> Segment:
    return Segment(turn.start_s, turn.end_s)


def read_rttm(path: Path) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    for line in path.read_text().splitlines():
        _, name, _, start_s, duration_s, _, _, speaker, *_ = line.split()
        segment = Segment(float(start_s), float(start_s) + float(duration_s))
        annotation = found.setdefault(name, Annotation(uri=name))
        annotation[segment, annotation.new_track(segment)] = speaker
    return found


if __name__ == "__main__":
    main()
