"""From sound to emotion: what is lost when a corpus's text is spoken, recognised and read, against the written text?

    python bench/spoken.py MELD [--split dev] [--voices hibari,flite-slt,flite-rms] [--noise FOLDER]
                                [--conditions written,unmarked,clean,20dB,10dB,5dB,telephone] [--dialogues 40]
                                [--cache FOLDER] [--json]

Each utterance is synthesised (flite: Debian's package; hibari: `pip install hibari-tts`), with pauses of at most a
quarter of a second inside, since an utterance of the corpus is one stretch of speech. The utterances of a dialogue
follow each other with a longer pause, each speaker on a track, and everything goes through the live path: turn
detection, recogniser, encoders, graph. "written" is the same audio with the corpus's text as captions; "unmarked" has
"." for each "!" in them, which synthesisers do not speak and recognisers do not write. An utterance's emotion is the
likeliest by the events of its speaker that overlap it, their probabilities averaged by the length of the overlap; one
without an event counts as neutral. "turns" are events per utterance. Noise is drawn from FOLDER's files by a fixed
seed; telephone is a band of 300 to 3400 Hz and G.711 μ-law. All dialogues are read with --dialogues 0.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import re
import subprocess
import tempfile
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torchaudio.functional import edit_distance, resample

from cberl.data.dialogue import Dialogue, Line
from cberl.data.meld import read_meld
from cberl.labels import MELD
from cberl.metrics import score
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.media import AudioChunk, Caption, Track
from engine.server.supervisor import Supervisor, open_supervisor

PAUSE_S = 0.9  # between utterances
LONGEST_PAUSE_FRAMES = 24  # of 10 ms, inside of an utterance
SILENT = 0.01  # a frame's level, of the loudest frame's: -40 dB
CHUNK = SAMPLE_RATE // 10
SPEECH_RMS = 0.05

CAPTIONS: dict[str, Callable[[str], str]] = {
    "written": lambda text: text,
    "unmarked": lambda text: text.replace("?!", "?").replace("!", "."),
}
Speak = Callable[[str], Float32]
Distort = Callable[[Float32, np.random.Generator], Float32]


class ListSource:
    """Chunks of a dialogue, as fast as they are taken."""

    dropped = 0

    def __init__(self, chunks: list[AudioChunk]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        for chunk in self._chunks:
            yield chunk


@dataclass(frozen=True, slots=True)
class Judged:
    """One utterance's label and what the engine made of it."""

    label: int
    predicted: int
    turns: int
    words: int
    wrong: int


def voice(name: str, cache: Path) -> Speak:
    """A synthesiser whose clips are kept in `cache`."""
    synthesise = _flite(name.removeprefix("flite-")) if name.startswith("flite-") else _hibari()

    def speak(text: str) -> Float32:
        path = cache / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
        if not path.exists():
            np.save(path, synthesise(text))
        pcm = without_long_pauses(np.load(path).astype(np.float32))
        return pcm * np.float32(SPEECH_RMS / max(1e-6, float(np.sqrt(np.mean(pcm**2)))))

    return speak


def without_long_pauses(pcm: Float32) -> Float32:
    """One stretch of speech: pauses are cut to `LONGEST_PAUSE_FRAMES`, and silence at both ends to half of that."""
    frame = SAMPLE_RATE // 100
    frames = pcm[: len(pcm) // frame * frame].reshape(-1, frame)
    level = np.sqrt(np.mean(frames**2, axis=1))
    kept = np.convolve(level > SILENT * level.max(), np.ones(LONGEST_PAUSE_FRAMES + 1), "same") > 0.5
    return frames[kept].ravel()


def _flite(name: str) -> Speak:
    def synthesise(text: str) -> Float32:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.wav"
            subprocess.run(["flite", "-voice", name, "-t", text, "-o", str(path)], check=True)
            with wave.open(str(path)) as file:
                pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768
                return np.asarray(resample(torch.from_numpy(pcm), file.getframerate(), SAMPLE_RATE))

    return synthesise


def _hibari() -> Speak:
    import hibari

    engine = hibari.Hibari()

    def synthesise(text: str) -> Float32:
        pcm = np.asarray(engine(text, seed=0), np.float32).ravel()
        return np.asarray(resample(torch.from_numpy(pcm), engine.sample_rate, SAMPLE_RATE))

    return synthesise


def distortion(name: str, noises: list[Float32]) -> Distort:
    if name == "clean":
        return lambda pcm, rng: pcm
    if name == "telephone":
        return lambda pcm, rng: _telephone(pcm)
    ratio_db = float(name.removesuffix("dB"))

    def noisy(pcm: Float32, rng: np.random.Generator) -> Float32:
        noise = np.resize(noises[rng.integers(len(noises))], len(pcm))
        level = SPEECH_RMS / max(1e-6, float(np.sqrt(np.mean(noise**2)))) * 10 ** (-ratio_db / 20)
        return np.asarray(pcm + noise * level, np.float32)

    return noisy


def _telephone(pcm: Float32) -> Float32:
    spectrum = np.fft.rfft(pcm)
    hertz = np.fft.rfftfreq(len(pcm), 1 / SAMPLE_RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    band = np.clip(np.fft.irfft(spectrum, len(pcm)), -1, 1)
    code = np.round(np.sign(band) * np.log1p(255 * np.abs(band)) / np.log(256) * 127) / 127  # μ-law, 8 bits
    return np.asarray(np.sign(code) * (256 ** np.abs(code) - 1) / 255, np.float32)


def read_noises(folder: Path | None) -> list[Float32]:
    found = []
    for path in sorted(folder.iterdir())[::10] if folder else ():
        if path.suffix in (".opus", ".wav", ".flac"):
            with av.open(str(path)) as container:
                resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
                frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            found.append(np.concatenate([frame.to_ndarray().ravel() for frame in frames]))
    return found


def spoken(
    dialogue: Dialogue, speak: Speak, distort: Distort, caption: Callable[[str], str] | None
) -> tuple[list[AudioChunk], list[Line]]:
    """Chunks of all tracks in order of time, and the lines with the times at which they are spoken.

    caption: from the corpus's text to captions; None = there are no captions.
    """
    rng = np.random.default_rng(int(hashlib.sha256(dialogue.id.encode()).hexdigest()[:8], 16))
    names = {line.speaker: f"speaker {n}" for n, line in enumerate(dialogue.lines)}
    lines, captions, at = [], [], round(0.5 * SAMPLE_RATE)
    clips = [speak(line.text) for line in dialogue.lines]
    length = at + sum(len(clip) + round(PAUSE_S * SAMPLE_RATE) for clip in clips) + SAMPLE_RATE
    tracks = {name: np.zeros(length, np.float32) for name in names.values()}
    for line, clip in zip(dialogue.lines, clips, strict=True):
        name = names[line.speaker]
        tracks[name][at : at + len(clip)] = clip
        start_s, end_s = at / SAMPLE_RATE, (at + len(clip)) / SAMPLE_RATE
        lines.append(replace(line, speaker=name, start_s=start_s, end_s=end_s))
        captions.append((name, Caption(start_s, end_s, caption(line.text) if caption else "", "en")))
        at += len(clip) + round(PAUSE_S * SAMPLE_RATE)
    chunks: list[AudioChunk] = []
    for name, pcm in tracks.items():
        of_track = Track(name, name, captioned=caption is not None)
        heard = distort(pcm, rng)
        chunks += [AudioChunk(of_track, n / SAMPLE_RATE, heard[n : n + CHUNK]) for n in range(0, length, CHUNK)]
        if caption:
            chunks[-len(range(0, length, CHUNK))] = replace(
                chunks[-len(range(0, length, CHUNK))], captions=tuple(it for who, it in captions if who == name)
            )
    return sorted(chunks, key=lambda chunk: chunk.end_s), lines


async def events_of(supervisor: Supervisor, name: str, chunks: list[AudioChunk]) -> list[EmotionEvent]:
    subscription = supervisor.hub.subscribe(name, with_snapshot=False)

    async def listen() -> list[EmotionEvent]:
        messages = [decode(text)[1] async for _, text in subscription]
        return [it for it in messages if isinstance(it, EmotionEvent) and it.status == "final"]

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen())
        await supervisor.join(name, ListSource(chunks), live=False)
        subscription.end("done")
    return listening.result()


def judged(lines: list[Line], events: list[EmotionEvent]) -> list[Judged]:
    found = []
    for line in lines:
        own = [it for it in events if it.speaker == line.speaker and _overlap_s(line, it) > 0]
        said = [word for it in sorted(own, key=lambda it: it.start_s) for word in _words(it.text or "")]
        wanted = _words(line.text)
        mean = sum(_overlap_s(line, it) * np.array([it.probabilities[label] for label in MELD]) for it in own)
        predicted = int(np.argmax(mean)) if own else MELD.index("neutral")
        found.append(Judged(line.label, predicted, len(own), len(wanted), edit_distance(wanted, said)))
    return found


def _overlap_s(line: Line, event: EmotionEvent) -> float:
    return min(line.end_s, event.end_s) - max(line.start_s, event.start_s)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    dialogues = read_meld(options.meld, options.split)
    if options.dialogues:
        dialogues = dialogues[:: max(1, len(dialogues) // options.dialogues)][: options.dialogues]
    options.cache.mkdir(parents=True, exist_ok=True)
    noises = read_noises(options.noise)
    settings = Settings(interim_ms=0, rejoin_grace_s=0, max_sessions=4, diarize="off")
    rows = []
    async with open_supervisor(settings) as supervisor:
        for name in options.voices.split(","):
            speak = voice(name, options.cache)
            for condition in options.conditions.split(","):
                caption = CAPTIONS.get(condition)
                distort = distortion("clean" if caption else condition, noises)
                found: list[Judged] = []
                numbers = itertools.count()
                for dialogue in track(dialogues, f"{name}, {condition}", console=Console(stderr=True)):
                    chunks, lines = spoken(dialogue, speak, distort, caption)
                    events = await events_of(supervisor, f"{name}-{condition}-{next(numbers)}", chunks)
                    found += judged(lines, events)
                rows.append({"voice": name, "text": condition} | summary(found))
    return rows


def summary(found: list[Judged]) -> dict[str, float]:
    result = score(np.array([it.label for it in found]), np.array([it.predicted for it in found]), MELD)
    return {
        "utterances": len(found),
        "turns": sum(it.turns for it in found) / len(found),
        "WER": 100 * sum(it.wrong for it in found) / sum(it.words for it in found),
        "weighted F1": result.weighted_f1,
        "macro F1": result.macro_f1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meld", type=Path)
    parser.add_argument("--split", default="dev", choices=["train", "dev", "test"])
    parser.add_argument("--voices", default="hibari,flite-slt,flite-rms")
    parser.add_argument("--conditions", default="written,unmarked,clean,20dB,10dB,5dB,telephone")
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--dialogues", type=int, default=40)
    parser.add_argument("--cache", type=Path, default=Path("cache/spoken"))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    if "dB" in options.conditions and options.noise is None:
        parser.error("conditions with noise need --noise FOLDER")
    rows = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(rows))
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
