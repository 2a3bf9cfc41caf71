"""Diarization error rate of the online speaker clustering on one microphone, for real and acted speech.

    python bench/diarization.py CONVERSATIONS [--acted RAVDESS] [--same 0.65 ...] [--merge 0.75 ...] [--collar 0.5]

CONVERSATIONS is a folder with pyannote_sample.wav and .rttm, and AMI excerpts in ami/ with debug.train.rttm. RAVDESS
is a folder of its clips: conversations are made of twenty clips each, of one actor or of two, drawn by a fixed seed.
The demo, mixed down to one channel, is used as well.
Everything runs as it does live: turns by the VAD, a speaker embedding per turn, online clustering; relabelled turns
count under their last name. Choose thresholds on the parts called "choose", and report those called "report".

Rates are in percent of the time spoken, as pyannote.metrics counts them: overlaps included (unless --skip-overlap), no
collar (unless --collar, in seconds around each boundary). For comparison: the DER with one speaker for all turns, and
with the best speaker for each turn, which is the lower bound for any attribution of whole turns.
"""

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from rich.console import Console
from rich.table import Table

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.demo.score import read_script
from engine.media import AudioChunk, Track
from engine.runtime.worker import Worker
from engine.speech.segmenter import SegmenterConfig
from engine.speech.speaker_clustering import OnlineSpeakers, SpeakersConfig
from engine.speech.speaker_embedding import load_speaker_encoder
from engine.speech.turn import Turn
from engine.speech.turn_detector import TurnDetector
from engine.speech.vad import SileroVad

DEMO = Path(engine.demo.__file__).parent
CLIPS = 20  # per acted conversation
CHOOSE_AMI = {"trn01", "trn02", "trn03", "trn04", "trn05"}  # no speaker of these is in the others


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    part: str
    reference: Annotation
    turns: list[tuple[Turn, Float32]]  # each with its embedding
    duration_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations", type=Path)
    parser.add_argument("--acted", type=Path, metavar="RAVDESS")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--same", type=float, nargs="+", default=[SpeakersConfig().same])
    parser.add_argument("--merge", type=float, nargs="+", default=[SpeakersConfig().merge])
    parser.add_argument("--silence-ms", type=float, default=500.0)
    parser.add_argument("--collar", type=float, default=0.0)
    parser.add_argument("--skip-overlap", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    heard = asyncio.run(listen(args.conversations, args.acted, args.silence_ms))
    counting = {"collar": args.collar, "skip_overlap": args.skip_overlap}
    rows: list[dict[str, Any]] = []
    for same, merge in product(args.same, args.merge):
        if merge >= same:
            scores = score(heard, SpeakersConfig(same=same, merge=merge), counting)
            rows += [{"same": same, "merge": merge, "part": part} | rates for part, rates in scores.items()]
    if args.json:
        print(json.dumps(rows))
        return
    table = Table(title=f"{len(heard)} recordings, {sum(len(it.turns) for it in heard)} turns, {counting}")
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row.values()))
    Console().print(table)


async def listen(conversations: Path, acted: Path | None, silence_ms: float) -> list[Recording]:
    voices = load_speaker_encoder()
    config = SegmenterConfig(end_silence_ms=silence_ms, min_speech_ms=250)
    heard: list[Recording] = []
    async with Worker(SileroVad().run, name="vad") as vad:
        for part, pcm, reference in [*recordings(conversations), *(plays(acted) if acted else [])]:
            updates = TurnDetector(vad, config, count(1)).detect(stream(pcm))
            found = [turn async for turn in updates if isinstance(turn, Turn)]
            if acted and "actor" in part:  # a clip begins and ends with silence, which has no speaker
                reference = reference.crop(Timeline([span(turn) for turn in found]))
            embedded = [(turn, voices.embed([turn.pcm])[0]) for turn in found]
            heard.append(Recording(part, reference, embedded, len(pcm) / SAMPLE_RATE))
    return heard


def recordings(folder: Path) -> Iterator[tuple[str, Float32, Annotation]]:
    """Those whose audio exists."""
    yield "choose: demo", decoded(DEMO / "conversation.flac"), script(DEMO / "conversation.json")
    (sample,) = read_rttm(folder / "pyannote_sample.rttm").values()
    yield "report: pyannote sample", decoded(folder / "pyannote_sample.wav"), sample
    for name, reference in read_rttm(folder / "ami/debug.train.rttm").items():
        path = folder / f"ami/{name}.flac"
        if path.exists():
            yield f"{'choose' if name in CHOOSE_AMI else 'report'}: AMI", decoded(path), reference


def script(path: Path) -> Annotation:
    """The reference of the demo."""
    reference = Annotation()
    for turn in read_script(path).turns:
        reference[Segment(turn.start_s, turn.end_s)] = turn.speaker
    return reference


def plays(folder: Path) -> Iterator[tuple[str, Float32, Annotation]]:
    """RAVDESS's actors alone, in pairs of a man and a woman, and in pairs of the same sex."""
    clips: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*.flac")):
        clips[path.stem[-2:]].append(path)
    actors = sorted(clips)
    rng = np.random.default_rng(0)
    half = len(actors) // 2
    for use, cast in (("choose", actors[:half]), ("report", actors[half:])):
        for n, actor in enumerate(cast):
            yield f"{use}: one actor", *play([clips[actor]], rng)
            yield f"{use}: two actors", *play([clips[actor], clips[cast[(n + 1) % half]]], rng)
            yield f"{use}: two actors of one sex", *play([clips[actor], clips[cast[(n + 2) % half]]], rng)


def play(cast: list[list[Path]], rng: np.random.Generator) -> tuple[Float32, Annotation]:
    said: list[Float32] = []
    reference = Annotation()
    at_s = 0.0
    for _ in range(CLIPS):
        clips = cast[rng.integers(len(cast))]
        path = clips[rng.integers(len(clips))]
        said.append(decoded(path))
        end_s = at_s + len(said[-1]) / SAMPLE_RATE
        reference[Segment(at_s, end_s)] = path.stem[-2:]
        at_s = end_s
    return np.concatenate(said), reference


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


def score(heard: list[Recording], config: SpeakersConfig, counting: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By part: rates in percent, and the numbers of real and found speakers per recording."""
    found: dict[str, dict[str, float]] = {}
    for part in sorted({it.part for it in heard}):
        online, single, best = (DiarizationErrorRate(**counting) for _ in range(3))
        speakers: list[tuple[int, int]] = []
        for it in heard:
            if it.part == part:
                names = attribute(it.turns, config)
                speakers.append((len(it.reference.labels()), len(set(names))))
                ideal = [it.reference.argmax(span(turn)) or 0 for turn, _ in it.turns]
                for metric, guess in ((online, names), (single, [1] * len(names)), (best, ideal)):
                    metric(it.reference, named(it.turns, guess), uem=Timeline([Segment(0, it.duration_s)]))
        there, told = np.mean(speakers, axis=0)
        parts = {short: 100 * online[name] / online["total"] for short, name in COMPONENTS.items()}
        worth = {"one speaker": 100 * abs(single), "best for whole turns": 100 * abs(best)}
        found[part] = {"DER": 100 * abs(online)} | parts | worth | {"speakers": there, "found": told}
    return found


COMPONENTS = {"miss": "missed detection", "false alarm": "false alarm", "confusion": "confusion"}


def attribute(turns: list[tuple[Turn, Float32]], config: SpeakersConfig) -> list[int]:
    speakers = OnlineSpeakers(config)
    names: dict[int, int] = {}
    for turn, voice in turns:
        names[turn.turn_id], relabels = speakers.push(turn.turn_id, voice, turn.end_s - turn.start_s)
        names |= {relabel.turn_id: relabel.speaker for relabel in relabels}
    return [names[turn.turn_id] for turn, _ in turns]


def named(turns: list[tuple[Turn, Float32]], names: list[Any]) -> Annotation:
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
