"""What does each modality contribute, where text, audio and face are all real?

    python bench/modalities.py --data MELD [--seeds 5] [--split dev] [--cache cache] [--json]

On MELD's trimodal subset (`trimodal_subset.npz` next to the CSV files): five emotions, six speakers, features of text,
audio and face of the same utterances. One network per seed, trained with modality dropout and selected on dev, is
scored with every subset of the modalities and with a random half missing.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cberl.config import ModelConfig, TrainConfig
from cberl.data.corpus import detect
from cberl.data.features import FeatureSet
from cberl.data.trimodal import LABELS, read_trimodal
from cberl.errors import CberlError
from cberl.evaluation.compare import Group
from cberl.evaluation.evaluate import Predicted, summary
from cberl.evaluation.report.gather import by_modality
from cberl.training.core.objective import FeatureScale
from cberl.training.core.train import Trainer, set_threads
from cberl.training.features.corpus import corpus_features, fitted_audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with MELD and its trimodal_subset.npz")
    parser.add_argument("--cache", type=Path, default="cache", help="encoded features (default: cache)")
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="scored (default: dev)")
    parser.add_argument("--seeds", type=int, default=5, help="networks (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("needs --data, the folder with MELD and its trimodal_subset.npz")
    set_threads(2)
    try:
        found = run(args.data, args.cache, args.split, args.seeds)
    except CberlError as error:
        raise SystemExit(str(error)) from error
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)


def run(data: Path, cache: Path, split: str, seeds: int) -> dict[str, Any]:
    corpus = detect(data)
    audio = fitted_audio(corpus, cache)
    sets = {
        name: read_trimodal(data, name, corpus_features(corpus, name, audio, cache))
        for name in dict.fromkeys(("train", "dev", split))
    }
    scales = {name: FeatureScale.of(sets["train"], name) for name in ("audio", "visual")}
    sets = {name: _scaled(features, scales) for name, features in sets.items()}
    group = Group("trimodal", [_trained(sets["train"], sets["dev"], seed) for seed in range(seeds)])
    runs: list[Predicted] = group.predict(sets[split])
    complete = summary([one.evaluated() for one in runs])
    return {"split": split, "utterances": len(sets[split].label), **complete} | by_modality(group, sets[split], runs)


def _scaled(features: FeatureSet, scales: dict[str, FeatureScale]) -> FeatureSet:
    """Each feature standardised by mean and sd of the training split."""
    x = {
        name: ((features.x[name] - scale.mean) / scale.sd.clamp(min=1e-6)) * features.present[name].unsqueeze(1)
        for name, scale in scales.items()
    }
    return replace(features, x=features.x | x)


def _trained(train: FeatureSet, dev: FeatureSet, seed: int) -> Any:
    dims = {f"{name}_dim": values.shape[1] for name, values in train.x.items()}
    trainer = Trainer(TrainConfig(seed=seed, model=ModelConfig(labels=LABELS, **dims)), train, dev)  # type: ignore[arg-type]
    while not trainer.done:
        trainer.run_epoch()
    return trainer.finish(f"trimodal-{seed}", {}, {})


def _show(found: dict[str, Any]) -> None:
    table = Table(title=f"MELD's trimodal subset, {found['split']}: {found['utterances']} utterances, percent")
    for heading in ("with", "weighted F1", "sd", "macro F1", "sd"):
        table.add_column(heading, justify="left" if heading == "with" else "right")
    for name, row in {**found["subsets"], "random half missing": found["half_missing"]}.items():
        cells = [f"{row[key][of]:.1f}" for key in ("weighted_f1", "macro_f1") for of in ("mean", "sd")]
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    lost = found["half_missing"]["loss"]["weighted_f1"]
    console.print(f"half missing: {lost['difference']:.1f} lost ({lost['low']:.1f} to {lost['high']:.1f}, 95 %)")


if __name__ == "__main__":
    main()
