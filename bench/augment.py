"""What is the quality of synthetic utterances of rare emotions, and what does training on them gain?

    python bench/augment.py [TRAIN DEV]                  quality of each method's utterances
    python bench/augment.py TRAIN DEV --seeds 0 1 2      and dev scores of networks trained on them, minutes each
    python bench/augment.py TRAIN DEV --json             one object

TRAIN and DEV are cached features of MELD (`meld-train-….safetensors`, `meld-dev-….safetensors`). All methods
fill the same slots. Dev scores are of the uncalibrated network at its best epoch on dev: they serve to compare methods,
and are all too high.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet, load_features
from cberl.labels import MELD
from cberl.metrics import Scores
from cberl.training.augment.augment import AugmentConfig, Method, augment
from cberl.training.augment.checks import Check, check, synthetic_rows
from cberl.training.core.train import Trainer, set_threads

METHODS: tuple[Method, ...] = get_args(Method)
Log = Callable[[str], None]


def run(train: FeatureSet, dev: FeatureSet, methods: tuple[Method, ...], seeds: list[int], log: Log) -> dict[str, Any]:
    """By method: counts, checks, and scores by seed. Without seeds: the checks for seed 0."""
    results: dict[str, Any] = {}
    scores: dict[Method, list[Scores]] = {method: [] for method in methods}
    for seed in seeds or [0]:  # methods alternate, so that a run that is stopped has equally many seeds of each
        for method in methods:
            started = time.process_time()
            augmented = _augmented(train, method, seed, log)
            made_in_s = time.process_time() - started
            if method not in results:
                results[method] = _made(train, dev, augmented) | {"cpu_s": round(made_in_s, 1)}
            if seeds:
                one = _trained(augmented, dev, seed)
                scores[method].append(one)
                log(
                    f"{method} seed {seed}: weighted {one.weighted_f1:.2f}, macro {one.macro_f1:.2f}, {one.f1.round(1)}"
                )
    for method in methods if seeds else ():
        results[method]["dev"] = _summary(scores[method])
    return results


def _augmented(train: FeatureSet, method: Method, seed: int, log: Log) -> FeatureSet:
    config = AugmentConfig(method=method, seed=seed)
    config = replace(config, gan=replace(config.gan, seed=seed))
    return augment(train, config, len(MELD), lambda step: log(f"gan seed {seed}: {step}"))


def _made(train: FeatureSet, dev: FeatureSet, augmented: FeatureSet) -> dict[str, Any]:
    made, label = synthetic_rows(augmented, len(train.label))
    result: dict[str, Any] = {
        "dialogues": len(augmented.lengths),
        "count": {name: int((augmented.label == i).sum()) for i, name in enumerate(MELD)},
    }
    return result | {"check": _check_as_dict(check(train, dev, made, label, len(MELD)))} if len(label) else result


def _check_as_dict(checked: Check) -> dict[str, Any]:
    whole = asdict(checked)
    return whole | {"classes": {MELD[c]: figures for c, figures in whole["classes"].items()}}


def _trained(train: FeatureSet, dev: FeatureSet, seed: int) -> Scores:
    dim = {name: values.shape[1] for name, values in train.x.items()}
    model = ModelConfig(text_dim=dim.get("text", 0), audio_dim=dim.get("audio", 0), visual_dim=dim.get("visual", 0))
    trainer = Trainer(TrainConfig(seed=seed, model=model), train, dev)
    while not trainer.done:
        trainer.run_epoch()
    trainer.model.load_state_dict(trainer.best_state)
    return trainer.dev_scores()


def _summary(runs: list[Scores]) -> dict[str, Any]:
    figures = {"weighted_f1": [one.weighted_f1 for one in runs], "macro_f1": [one.macro_f1 for one in runs]}
    figures |= {name: [float(one.f1[i]) for one in runs] for i, name in enumerate(MELD)}
    return {
        name: {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else 0.0, "runs": values}
        for name, values in figures.items()
    }


def show(results: dict[str, Any], console: Console) -> None:
    """The results as tables."""
    table = Table(title="Synthetic | held-out real utterances")
    for column in ("method", "class", "made", "recognised %", "nearest of class", "copies %", "nearest", "diversity"):
        table.add_column(column)
    for method, result in results.items():
        for name, one in result.get("check", {"classes": {}})["classes"].items():
            table.add_row(
                method,
                name,
                str(one["made"]),
                f"{100 * one['recognised_made']:.0f} | {100 * one['recognised_real']:.0f}",
                f"{one['nearest_made']:.2f} | {one['nearest_real']:.2f}",
                f"{100 * one['copies']:.0f}",
                f"{one['source_made']:.2f} | {one['source_real']:.2f}",
                f"{one['diversity_made']:.2f} | {one['diversity_real']:.2f}",
            )
    console.print(table)
    table = Table(title="Frechet distance to real training utterances: synthetic | held-out")
    for column in ("method", "text", "audio", "joint", "CPU s"):
        table.add_column(column)
    for method, result in results.items():
        if checked := result.get("check"):
            pairs = (
                (checked["frechet_made"][name], checked["frechet_real"][name]) for name in ("text", "audio", "joint")
            )
            table.add_row(method, *(f"{made:.3f} | {real:.3f}" for made, real in pairs), str(result["cpu_s"]))
    console.print(table)
    trained = {method: result["dev"] for method, result in results.items() if "dev" in result}
    if trained:
        table = Table("method", "weighted F1", "macro F1", *MELD, title="Dev, mean ± sd over seeds")
        for method, figures in trained.items():
            table.add_row(method, *(f"{one['mean']:.1f} ± {one['sd']:.1f}" for one in figures.values()))
        console.print(table)


def newest(split: str) -> Path:
    """MELD's features in the cache of `cberl train`."""
    found = sorted(Path("cache").glob(f"meld-{split}-*.safetensors"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"no features of MELD's {split} split in cache/: `cberl train --data MELD` makes them")
    return found[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, nargs="?", help="default: the newest in cache/")
    parser.add_argument("dev", type=Path, nargs="?", help="default: the newest in cache/")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[], help="train a network with each (default: none)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.train = options.train or newest("train")
    options.dev = options.dev or newest("dev")
    set_threads(options.threads)
    progress = Console(stderr=True)
    train, dev = load_features(options.train), load_features(options.dev)
    results = run(train, dev, tuple(options.methods), options.seeds, lambda line: progress.print(line, soft_wrap=True))
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        show(results, Console())


if __name__ == "__main__":
    main()
