"""Make the demo conversation: two synthetic voices, one a channel, and a sidecar of who said what when.

    python demo/make_conversation.py      # writes conversation.flac and conversation.json beside this file

Needs flite 2.2 with the voices slt and rms (Debian and Ubuntu: `apt install flite`). The same flite gives
the same file: the pauses and the noise floor come from a fixed seed. Each line's emotion was decided by its
author as the line was written; no emotion model was asked.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
SEED = 20
LEAD_S = 0.8  # room tone before the first turn
TAIL_S = 1.5  # and after the last, so that its end is heard
PAUSE_S = (0.7, 1.2)  # between turns
SPEECH_RMS = 0.05  # -26 dBFS, the usual telephony level (ITU-T P.56)
NOISE_RMS = 0.0002  # -74 dBFS: a quiet room, not digital silence

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Speaker:
    name: str
    voice: str  # of flite
    pitch_hz: float | None  # None where the voice knows only its own


@dataclass(frozen=True, slots=True)
class Turn:
    speaker: str
    text: str
    emotion: str
    start_s: float
    end_s: float


MAYA = Speaker("maya", "slt", 170)
TOM = Speaker("tom", "rms", None)
SPEAKERS = (MAYA, TOM)  # left, right

# How an emotion moves a voice, modestly: (duration, pitch) as factors.
STYLE = {
    "neutral": (1.0, 1.0),
    "joy": (0.97, 1.09),
    "surprise": (0.97, 1.12),
    "fear": (0.97, 1.07),
    "anger": (0.95, 1.05),
    "sadness": (1.08, 0.94),
    "disgust": (1.04, 0.97),
}

SCRIPT = (
    (MAYA, "neutral", "Good morning, the coffee is on the table."),
    (TOM, "neutral", "Okay, and what are you reading there?"),
    (MAYA, "joy", "I got the job in London, this is so exciting!"),
    (TOM, "surprise", "Oh my god, what? You are moving to London?"),
    (MAYA, "neutral", "Yes, my train leaves on Sunday afternoon."),
    (TOM, "surprise", "Oh my god, this Sunday? I can't believe it!"),
    (MAYA, "neutral", "I signed the papers a month ago."),
    (TOM, "anger", "You lied to me for a month! I am so angry with you!"),
    (MAYA, "fear", "I was afraid, I was so scared of losing you."),
    (TOM, "anger", "That is no excuse, you should have told me!"),
    (MAYA, "anger", "Stop yelling at me! You never listen to anybody!"),
    (TOM, "sadness", "I am really sad, I am going to miss you so much."),
    (MAYA, "sadness", "I feel terrible, I am so sorry, please forgive me."),
    (TOM, "neutral", "Where are you going to live over there?"),
    (MAYA, "disgust", "The apartment is disgusting, there was a dead rat in the kitchen."),
    (TOM, "disgust", "That is so gross, it makes me sick."),
    (MAYA, "fear", "That place is so scary, I am afraid to sleep there."),
    (TOM, "joy", "I will come with you, we are going to have so much fun!"),
    (MAYA, "joy", "Thank you, that is so sweet, I love you!"),
    (TOM, "joy", "I am so proud of you, congratulations!"),
)


def find_flite(command: str) -> str:
    """Where flite is, once it is sure that it has the voices. Exits with one sentence where it has not."""
    path = shutil.which(command)
    if path is None:
        sys.exit(f"{command} not found: `apt install flite` (Debian, Ubuntu), or pass --flite PATH.")
    voices = subprocess.run([path, "-lv"], capture_output=True, text=True, check=True).stdout.split()
    missing = [speaker.voice for speaker in SPEAKERS if speaker.voice not in voices]
    if missing:
        sys.exit(f"{path} lacks the voice {' and '.join(missing)}: install a flite 2.2 with all its voices.")
    return path


def speak(flite: str, speaker: Speaker, emotion: str, text: str) -> Float64:
    """One line as float64[n] in -1..1, silence cut off at both ends, at the level of the conversation."""
    stretch, pitch = STYLE[emotion]
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "line.wav"
        command = [flite, "-voice", speaker.voice, "--setf", f"duration_stretch={stretch}"]
        if speaker.pitch_hz is not None:
            command += ["--setf", f"int_f0_target_mean={speaker.pitch_hz * pitch:.0f}"]
        subprocess.run([*command, "-t", text, "-o", str(spoken)], check=True)
        with wave.open(str(spoken)) as file:
            if (file.getframerate(), file.getnchannels()) != (SAMPLE_RATE, 1):
                sys.exit(f"The voice {speaker.voice} is not 16 kHz mono: use the one that Debian ships.")
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    loud = np.flatnonzero(np.abs(pcm) > 0.02 * np.abs(pcm).max())
    pcm = pcm[loud[0] : loud[-1] + 1]
    fade = np.minimum(1, np.arange(len(pcm)) / 80)  # 5 ms, against clicks
    return np.asarray(pcm * fade * fade[::-1] * SPEECH_RMS / np.sqrt(np.mean(pcm**2)))


def room_tone(rng: np.random.Generator, length: int) -> Float64:
    """Noise that falls by 6 dB an octave, about as a quiet room's does: float64[2, length]."""
    spectrum = np.fft.rfft(rng.standard_normal((2, length)))
    spectrum /= np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 50)
    noise = np.fft.irfft(spectrum, length)
    return np.asarray(noise * NOISE_RMS / np.sqrt(np.mean(noise**2)))


def lay_out(lines: Iterable[Float64], rng: np.random.Generator) -> tuple[Float64, list[Turn]]:
    """Lines one after the other with seeded pauses: float64[2, n], left is maya, and the measured turns."""
    placed: list[tuple[int, Float64]] = []
    at = round(LEAD_S * SAMPLE_RATE)
    for line in lines:
        placed.append((at, line))
        at += len(line) + round(rng.uniform(*PAUSE_S) * SAMPLE_RATE)
    last_start, last_line = placed[-1]
    mixed = room_tone(rng, last_start + len(last_line) + round(TAIL_S * SAMPLE_RATE))
    turns = []
    for (speaker, emotion, text), (start, line) in zip(SCRIPT, placed, strict=True):
        end = start + len(line)
        mixed[SPEAKERS.index(speaker), start:end] += line
        turns.append(Turn(speaker.name, text, emotion, round(start / SAMPLE_RATE, 3), round(end / SAMPLE_RATE, 3)))
    return mixed, turns


def write_flac(path: Path, mixed: Float64) -> None:
    pcm = np.clip(np.round(mixed * 32768), -32768, 32767).astype(np.int16)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "12"})
        stream.layout = "stereo"
        stream.format = "s16"
        interleaved = np.ascontiguousarray(pcm.T).reshape(1, -1)  # (2, n) -> (1, 2n)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sidecar(path: Path, turns: list[Turn], duration_s: float) -> None:
    sidecar = {
        "audio": "conversation.flac",
        "sample_rate": SAMPLE_RATE,
        "duration_s": round(duration_s, 3),
        "channels": [speaker.name for speaker in SPEAKERS],
        "turns": [asdict(turn) for turn in turns],
    }
    path.write_text(json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder (default: beside this script)")
    parser.add_argument("--flite", default="flite", metavar="PATH", help="the program (default: %(default)s)")
    args = parser.parse_args()
    flite = find_flite(args.flite)
    args.out.mkdir(parents=True, exist_ok=True)

    lines = [speak(flite, speaker, emotion, text) for speaker, emotion, text in SCRIPT]
    mixed, turns = lay_out(lines, np.random.default_rng(SEED))
    duration_s = mixed.shape[1] / SAMPLE_RATE
    write_flac(args.out / "conversation.flac", mixed)
    write_sidecar(args.out / "conversation.json", turns, duration_s)
    print(f"{len(turns)} turns, {duration_s:.1f} s -> {args.out / 'conversation.flac'}")


if __name__ == "__main__":
    main()
