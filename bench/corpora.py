"""How well do checkpoints read conversations of corpora that they were not trained on?

    python bench/corpora.py CHECKPOINT ... --data MELD --data dailydialog.jsonl.gz [--split test] [--json]

A row per corpus: weighted and macro F1, F1 of fear and disgust, calibration error; of several checkpoints mean and
standard deviation; of macro F1 also the 95 % interval by bootstrap over dialogues. Text, and prosody where the corpus
has it. Labels of other sets are mapped (EXCITED is joy, …); utterances whose label has no counterpart among the
checkpoint's are not scored. Select on `--split dev`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cberl.checkpoint import Checkpoint, load_checkpoint
from cberl.data.corpus import Corpus, detect
from cberl.data.features import FeatureSet
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.evaluation.compare import interval, macro_f1
from cberl.evaluation.evaluate import Predicted, features_for, summary
from cberl.training.core.train import set_threads

# Of EmoryNLP and IEMOCAP. Peaceful and powerful have no counterpart.
SAME = {
    "joyful": "joy",
    "scared": "fear",
    "mad": "anger",
    "sad": "sadness",
    "happiness": "joy",
    "excitement": "joy",
    "frustration": "anger",
}
RARE = ("fear", "disgust")


def relabelled(features: FeatureSet, theirs: tuple[str, ...], ours: tuple[str, ...]) -> FeatureSet:
    """The features with the labels of the checkpoint."""
    mapped = [ours.index(name) if (name := SAME.get(label, label)) in ours else -1 for label in theirs]
    return replace(features, label=torch.tensor([*mapped, -1])[features.label])  # -1 stays the last one


def rows(corpus: Corpus, checkpoints: list[Checkpoint], args: argparse.Namespace) -> dict[str, Any]:
    """The summary of a corpus."""
    runs = []
    for one in checkpoints:
        ours = one.model.config.labels
        encoded = features_for(one, replace(corpus, labels=ours), args.split, args.cache, args.text_encoders)
        runs.append(Predicted.by(one, relabelled(encoded, corpus.labels, ours)))
    low, high = interval(runs, macro_f1)
    return summary([run.evaluated() for run in runs]) | {"macro_f1_interval": [low, high]}


def main() -> None:
    """Prints a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--text-encoder", type=Path, action="append", dest="text_encoders")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.text_encoders = args.text_encoders or [TEXT_ENCODER]
    set_threads(args.threads)
    checkpoints = [load_checkpoint(folder) for folder in args.checkpoints]
    found = {corpus.name: rows(corpus, checkpoints, args) for corpus in map(detect, args.data)}
    if args.json:
        print(json.dumps({"split": args.split, "corpora": found}))
    else:
        Console().print(table(found, args.split))


def table(found: dict[str, dict[str, Any]], split: str) -> Table:
    """A row per corpus."""
    shown = Table(title=f"{split}, percent")
    for heading in ("corpus", "weighted F1", "macro F1", "95 %", *RARE, "calibration error"):
        shown.add_column(heading, justify="left" if heading == "corpus" else "right")
    for name, one in found.items():
        numbers = [one["weighted_f1"], one["macro_f1"], *(one["f1"].get(label) for label in RARE), one["ece"]]
        cells = [f"{it['mean']:.1f} ± {it['sd']:.1f}" if it else "" for it in numbers]
        low, high = one["macro_f1_interval"]
        shown.add_row(name, *cells[:2], f"{low:.1f} to {high:.1f}", *cells[2:])
    return shown


if __name__ == "__main__":
    main()
