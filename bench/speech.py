"""What does the speech emotion network recognise in the conditions of a call, and what does it cost?

    python bench/speech.py [--json]

People held out: heads fitted to other actors of RAVDESS and to TESS, on clips in conversations of 4 to 48 turns: clean,
through a telephone line (G.711), through Opus at 12 kbit/s, with recorded noise at 10 dB, and in a room. Then the cost
of one turn against that of computing its prosody. Needs the data in CBERL_SHARED (default: ../shared); 5 minutes.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cberl.data.acted_speech import ActedClip, read_ravdess, read_sounds
from cberl.encoders.bundle import SPEECH
from cberl.encoders.prosody import prosody
from cberl.encoders.speech_emotion import SpeechEncoder, SpeechStates
from cberl.onnx import open_session
from cberl.training.encoders.speech_augment import mixed, opus, reverberated, telephone
from cberl.training.encoders.speech_head import ActedStates, HeadTraining, accuracy, fit_head, folds
from cberl.types import SAMPLE_RATE, Float32

SHARED = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared"))


def conditions(noises: list[Float32]) -> dict[str, Callable[[Float32], Float32]]:
    rng = np.random.default_rng(0)

    def noisy(pcm: Float32) -> Float32:
        return mixed(pcm, np.resize(noises[int(rng.integers(len(noises)))], len(pcm)), 10)

    return {
        "clean": lambda pcm: pcm,
        "telephone": telephone,
        "Opus, 12 kbit/s": lambda pcm: opus(pcm, 12_000),
        "noise, 10 dB": noisy,
        "room, 0.4 s": lambda pcm: reverberated(pcm, 0.4, rng),
    }


def measure(data: Path) -> dict[str, dict[str, float]]:
    clips = read_ravdess(data / "ravdess")
    states = SpeechStates(open_session(SPEECH / "speech.onnx"))
    altered = conditions([sound.pcm for sound in read_sounds(data / "noise")])
    acted = {name: _states(clips, states, alter, name) for name, alter in altered.items()}
    people = sorted({clip.actor for clip in clips})
    config = HeadTraining()
    recalls: dict[str, list[float]] = {name: [] for name in acted}
    for held_out in folds(people, config.folds):
        head = fit_head(acted["clean"].of([name for name in people if name not in held_out]), config)
        for name, one in acted.items():
            recalls[name].append(accuracy(head, one.of(held_out), config))
    return {
        "UAR of people held out, head fitted to clean clips, %": {
            k: round(float(np.mean(v)), 1) for k, v in recalls.items()
        },
        "cost of a turn / cost of its prosody": costs(),
    }


def _states(
    clips: list[ActedClip], states: SpeechStates, alter: Callable[[Float32], Float32], name: str
) -> ActedStates:
    found = [states(alter(clip.pcm)) for clip in track(clips, description=name)]
    rows = np.stack([np.full(768, np.nan, np.float32) if one is None else one.pooled() for one in found])
    label, actor = (np.array([getattr(clip, field) for clip in clips]) for field in ("label", "actor"))
    return ActedStates(rows[:, None], label, actor)


def costs() -> dict[str, float]:
    encoder = SpeechEncoder(SPEECH)
    ratios = {}
    for seconds in (1, 3, 5, 10, 30):
        pcm = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        ratios[f"{seconds} s"] = round(_ms(encoder.describe, pcm) / _ms(prosody, pcm), 2)
        ratios[f"{seconds} s, ms"] = round(_ms(encoder.describe, pcm), 1)
    return ratios


def _ms(work: Callable[[Float32], object], pcm: Float32) -> float:
    taken = []
    for _ in range(11):
        started = time.perf_counter()
        work(pcm)
        taken.append(1e3 * (time.perf_counter() - started))
    return median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    wanted = parser.parse_args()
    if not (SHARED / "data/ravdess").is_dir():
        raise SystemExit(f"no data at {SHARED / 'data'}: set CBERL_SHARED to the folder that holds data/")
    torch.set_num_threads(1)
    result = measure(SHARED / "data")
    if wanted.json:
        print(json.dumps(result))
        return
    for title, row in result.items():
        table = Table(title=title)
        for name in row:
            table.add_column(name, justify="right")
        table.add_row(*map(str, row.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
