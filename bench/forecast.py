"""Can the network tell a speaker's next emotion? A network trained on shifted labels, beside "the same again".

    python bench/forecast.py --data MELD [--seeds 5] [--text-encoder runs/text/onnx] [--json]

The label of an utterance becomes that of its speaker's next utterance in the dialogue; the recipe is `real`. Beside it
the decision of a classifier for the present utterance, taken for the next one; and as distributions: that decision
through the transitions counted on train, all of its probabilities through them, and the frequencies on train. Dev:
weighted and macro F1 in percent, and cross-entropy in nats.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cberl.config import TrainConfig
from cberl.data.corpus import detect
from cberl.data.features import FeatureSet
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.graph import same_speaker_pairs
from cberl.metrics import score
from cberl.training.core.recipe import load_recipe
from cberl.training.core.train import Trainer, predict, set_threads
from cberl.training.core.training_data import prepare

Float = NDArray[np.float64]


def shifted(features: FeatureSet) -> FeatureSet:
    """The features with the label of the speaker's next utterance; -1 where there is none."""
    batch, _ = features.whole()
    before, after = same_speaker_pairs(batch.dialogue, batch.speaker)
    label = torch.full_like(features.label, -1)
    label[before] = features.label[after]
    return replace(features, label=label)


def probabilities(config: TrainConfig, train: FeatureSet, dev: FeatureSet) -> Float:
    """(N, C), of dev, by the network of the best epoch on dev."""
    trainer = Trainer(config, train, dev)
    while not trainer.done:
        trainer.run_epoch()
    trainer.scored.load_state_dict(trainer.best_state)
    found: Float = predict(trainer.scored, dev)[0].double().softmax(1).numpy()
    return found


def transitions(features: FeatureSet, following: FeatureSet, classes: int) -> Float:
    """(C, C): how often a label follows another one of the same speaker, each row 1 in sum."""
    known = (features.label >= 0) & (following.label >= 0)
    pairs = features.label[known] * classes + following.label[known]
    counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double() + 1
    found: Float = (counts / counts.sum(1, keepdim=True)).numpy()
    return found


def rows(args: argparse.Namespace) -> dict[str, list[tuple[float, float, float]]]:
    """Weighted F1, macro F1 and cross-entropy of each seed, by row name."""
    corpus, recipe = detect(args.data), load_recipe("real", ())
    data = prepare(corpus, [recipe.compose], args.cache, args.text_encoder or TEXT_ENCODER)
    train, dev = data.train, data.dev
    next_train, next_dev = shifted(train), shifted(dev)
    known = (next_dev.label >= 0).numpy()
    label = next_dev.label.numpy()[known]
    transition = transitions(train, next_train, len(corpus.labels))
    frequency = torch.bincount(next_train.label[next_train.label >= 0], minlength=len(corpus.labels)).double().numpy()
    found = defaultdict(list)

    def add(name: str, given: Float, decided: NDArray[np.int64] | None = None) -> None:
        one = score(label, given.argmax(1) if decided is None else decided, corpus.labels)
        surprise = -np.log(np.clip(given[np.arange(len(label)), label], 1e-9, 1)).mean()
        found[name].append((one.weighted_f1, one.macro_f1, float(surprise)))

    for seed in range(args.seeds):
        config, _ = recipe.for_corpus(train, corpus.labels, seed)
        now = probabilities(config, train, dev)[known]
        again = now.argmax(1)
        add("a head on shifted labels", probabilities(config, next_train, next_dev)[known])
        add("the same again", transition[again], again)
        add("probabilities through transitions", now @ transition)
        add("frequencies", np.tile(frequency / frequency.sum(), (len(label), 1)))
    return found


def main() -> None:
    """Prints a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    set_threads(args.threads)
    found = rows(args)
    if args.json:
        print(json.dumps(found))
        return
    shown = Table("", "weighted F1", "macro F1", "cross-entropy", title="the speaker's next emotion, dev")
    for name, seeds in found.items():
        shown.add_row(name, *(spread([one[place] for one in seeds], digits) for place, digits in enumerate((1, 1, 3))))
    Console().print(shown)


def spread(values: list[float], digits: int) -> Any:
    """`mean ± sd`"""
    sd = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):.{digits}f} ± {sd:.{digits}f}"


if __name__ == "__main__":
    main()
