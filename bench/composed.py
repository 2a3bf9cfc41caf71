"""What do speech emotion and face scores gain for networks trained on a composed corpus, and what is lost without them?

    python bench/composed.py RUNS/seed-* --data MELD --ravdess RAVDESS --fer2013 FER2013.npz
    python bench/composed.py ... --json                   one object

Scored on MELD's dev split. "real" rows are the corpus itself: text and published prosody. "composed" rows have scores
for speakers and faces that no network was trained on; a share of them (0.4 by default) has another label. They measure
the use of such input by the network, not the accuracy on real speech and faces.
"""

import argparse
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cberl.checkpoint import Checkpoint, load_checkpoint
from cberl.data.corpus import detect
from cberl.data.features import FeatureSet
from cberl.evaluation.evaluate import evaluate, features_for, summary
from cberl.evaluation.variants import only
from cberl.training.core.train import set_threads
from cberl.training.features.composed import EVERYWHERE, composed_split, held_out_pools

NAMES = {"text": "T", "audio": "A", "visual": "V"}
MISMATCH = (0.2, 0.4, 0.6, 1.0)


def run(checkpoints: list[Checkpoint], args: argparse.Namespace) -> dict[str, Any]:
    """Row name -> summary over the networks."""
    corpus = detect(args.data)
    rows: dict[str, list[FeatureSet]] = {}
    pools = held_out_pools(corpus, args.cache, args.ravdess, args.fer2013)
    for one in checkpoints:
        real = features_for(one, corpus, "dev", args.cache)
        for part in (("text", "audio"), ("text",), ("audio",)):
            rows.setdefault("real " + _name(part), []).append(only(real, part))
        reads = one.model.config.modality_dims
        if "visual" not in reads:
            continue
        composed = composed_split(one, corpus, "dev", pools, args.cache)
        for size in range(1, 4):
            for part in combinations(NAMES, size):
                rows.setdefault("composed " + _name(part), []).append(only(composed, part))
        for mismatch in MISMATCH:
            worse = composed_split(one, corpus, "dev", pools, args.cache, config=replace(EVERYWHERE, mismatch=mismatch))
            rows.setdefault(f"composed TAV, mismatch {mismatch:g}", []).append(worse)
    return {
        name: summary([evaluate(*pair) for pair in zip(checkpoints, sets, strict=True)]) for name, sets in rows.items()
    }


def _name(part: tuple[str, ...]) -> str:
    return "".join(NAMES[name] for name in part)


def show(results: dict[str, Any]) -> None:
    columns = ("dev", "weighted F1", "macro F1", "fear", "sadness", "disgust", "ECE")
    table = Table(*columns, title=f"{next(iter(results.values()))['seeds']} seeds, mean ± sd")
    for name, row in results.items():
        cells = (row["weighted_f1"], row["macro_f1"], *(row["f1"][label] for label in columns[3:6]), row["ece"])
        table.add_row(name, *(f"{cell['mean']:.1f} ± {cell['sd']:.1f}" for cell in cells))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ravdess", type=Path, required=True)
    parser.add_argument("--fer2013", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    set_threads(1)
    results = run([load_checkpoint(folder) for folder in args.checkpoints], args)
    if args.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
