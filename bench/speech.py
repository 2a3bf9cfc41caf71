"""What is the accuracy of the speech emotion network for unknown speakers, and in the conditions of a call?

    python bench/speech.py [--json] [--weights FOLDER]

On RAVDESS's test speakers (18 to 20), acted, two sentences: clean, in a telephone band (300 to 3400 Hz, 8 kHz), with
noise at 10 dB, and the first second only. For comparison, logistic regression on the eight prosodic features, and on
these with the pooled log-mel. Needs the data in CBERL_SHARED (default: ../shared).
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from cberl.data.ravdess import SPLITS, Clip, read_ravdess
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cberl.checkpoint import WEIGHTS
from cberl.encoders.logmel import pooled_log_mel
from cberl.encoders.prosody import prosody
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.labels import MELD
from cberl.metrics import score
from cberl.types import SAMPLE_RATE, Float32

SHARED = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared"))


def telephone(pcm: Float32) -> Float32:
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(len(pcm), 1 / SAMPLE_RATE)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    return np.fft.irfft(spectrum, len(pcm)).astype(np.float32)


def noisy(pcm: Float32) -> Float32:
    noise = np.random.default_rng(len(pcm)).standard_normal(len(pcm))
    return (pcm + noise * np.sqrt((pcm**2).mean() / 10)).astype(np.float32)


def first_second(pcm: Float32) -> Float32:
    return pcm[:SAMPLE_RATE]


CONDITIONS: dict[str, Callable[[Float32], Float32]] = {
    "clean": lambda pcm: pcm,
    "telephone": telephone,
    "noise, 10 dB": noisy,
    "first second": first_second,
}
NUMBERS: dict[str, Callable[[Float32], Float32]] = {
    "prosody, linear": lambda pcm: np.nan_to_num(prosody(pcm)),
    "prosody + log-mel, linear": lambda pcm: np.nan_to_num(np.concatenate([prosody(pcm), pooled_log_mel(pcm)])),
}


def measure(data: Path, weights: Path) -> dict[str, object]:
    train, test = read_ravdess(data, SPLITS["train"]), read_ravdess(data, SPLITS["test"])
    encoder = SpeechEncoder(weights)
    readers: dict[str, Callable[[Float32], int]] = {"speech network": lambda pcm: _hear(encoder, pcm)}
    for name, numbers in NUMBERS.items():
        readers[name] = _linear(numbers, train)
    rows = {
        name: {kind: _scores(read, test, alter) for kind, alter in CONDITIONS.items()} for name, read in readers.items()
    }
    return {"clips": len(test), "rows": rows, "ms_per_turn": _costs(encoder)}


def _hear(encoder: SpeechEncoder, pcm: Float32) -> int:
    described = encoder.describe(pcm)
    return 0 if described is None else int(described[-len(MELD) :].argmax())


def _linear(numbers: Callable[[Float32], Float32], train: Sequence[Clip]) -> Callable[[Float32], int]:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(np.stack([numbers(clip.pcm) for clip in train]), [clip.label for clip in train])
    return lambda pcm: int(model.predict(numbers(pcm)[None])[0])


def _scores(
    read: Callable[[Float32], int], clips: Sequence[Clip], alter: Callable[[Float32], Float32]
) -> dict[str, float]:
    predicted = np.array([read(alter(clip.pcm)) for clip in clips])
    scores = score(np.array([clip.label for clip in clips]), predicted, MELD)
    return {"accuracy": round(scores.accuracy, 2), "macro_f1": round(scores.macro_f1, 2)}


def _costs(encoder: SpeechEncoder) -> dict[str, float]:
    costs = {}
    for seconds in (1, 3, 10, 30):
        pcm = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        encoder.describe(pcm)
        taken = []
        for _ in range(20):
            started = time.perf_counter()
            encoder.describe(pcm)
            taken.append(1e3 * (time.perf_counter() - started))
        costs[f"{seconds} s"] = round(median(taken), 2)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "speech", help="folder of the network")
    wanted = parser.parse_args()
    data = SHARED / "data/ravdess"
    if not data.is_dir():
        raise SystemExit(f"no data at {data}: set CBERL_SHARED to the folder that holds data/")
    torch.set_num_threads(1)
    result = measure(data, wanted.weights)
    if wanted.json:
        print(json.dumps(result))
        return
    table = Table(title=f"{result['clips']} clips of three unknown actors: accuracy / macro F1, %")
    table.add_column("reader")
    for kind in CONDITIONS:
        table.add_column(kind, justify="right")
    for name, row in result["rows"].items():  # type: ignore[attr-defined]
        table.add_row(name, *(f"{one['accuracy']:.1f} / {one['macro_f1']:.1f}" for one in row.values()))
    Console().print(table)
    Console().print("ms per turn by its duration, one thread:", result["ms_per_turn"])


if __name__ == "__main__":
    main()
