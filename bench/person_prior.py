"""Does it help to know how a person's emotions usually lie? A running prior per speaker, added to the logits.

    python bench/person_prior.py CHECKPOINT ... --data MELD --data dailydialog.jsonl.gz [--json]

For each utterance: log p + weight * n / (n + N0) * (m - m0), where m is the mean of log p over the n earlier utterances
of its speaker in the dialogue, and m0 the mean over the corpus. A positive weight expects more of the same, a negative
one takes what is usual for this person as their neutral. Dev scores for each weight, means over the checkpoints.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cberl.checkpoint import load_checkpoint
from cberl.data.corpus import detect
from cberl.data.features import FeatureSet
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.evaluation.evaluate import Predicted, features_for
from cberl.metrics import score
from cberl.training.core.train import set_threads

WEIGHTS = (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4)
N0 = 3.0  # utterances after which the prior has half of its weight

Float = NDArray[np.float64]


def deviation(log_p: Float, features: FeatureSet) -> Float:
    """(N, C) log probabilities -> (N, C): how the speaker's earlier ones deviate from the corpus, shrunk; causal."""
    found = np.zeros_like(log_p)
    usual = log_p.mean(0)
    row = 0
    for length in features.lengths.tolist():
        sums: dict[int, Float] = defaultdict(lambda: np.zeros(log_p.shape[1]))
        counts: dict[int, int] = defaultdict(int)
        for speaker in features.speaker[row : row + length].tolist():
            if n := counts[speaker]:
                found[row] = n / (n + N0) * (sums[speaker] / n - usual)
            sums[speaker] += log_p[row]
            counts[speaker] += 1
            row += 1
    return found


def scores(predicted: Predicted, features: FeatureSet) -> dict[float, tuple[float, float]]:
    """Weighted and macro F1 by weight."""
    log_p = np.log(predicted.calibration.probabilities(predicted.logits.double().numpy()))
    moved, known = deviation(log_p, features), (predicted.label >= 0).numpy()
    label = predicted.label.numpy()[known]
    found = {}
    for weight in WEIGHTS:
        one = score(label, (log_p + weight * moved).argmax(1)[known], predicted.names)
        found[weight] = (one.weighted_f1, one.macro_f1)
    return found


def main() -> None:
    """Prints a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--text-encoder", type=Path, action="append", dest="text_encoders")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    set_threads(args.threads)
    checkpoints = [load_checkpoint(folder) for folder in args.checkpoints]
    found = {}
    for corpus in map(detect, args.data):
        rows = []
        for one in checkpoints:
            features = features_for(one, corpus, "dev", args.cache, args.text_encoders or [TEXT_ENCODER])
            rows.append(scores(Predicted.by(one, features), features))
        found[corpus.name] = {
            weight: [mean(row[weight][place] for row in rows) for place in (0, 1)] for weight in WEIGHTS
        }
    if args.json:
        print(json.dumps(found))
        return
    shown = Table("weight", *found, title="weighted / macro F1, dev, percent")
    for weight in WEIGHTS:
        shown.add_row(f"{weight:+.1f}", *(f"{one[weight][0]:.2f} / {one[weight][1]:.2f}" for one in found.values()))
    Console().print(shown)


if __name__ == "__main__":
    main()
