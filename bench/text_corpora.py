"""Which corpora help a text encoder? A small ablation: one corpus at a time beside the first.

    python bench/text_corpora.py --data MELD --also EMORYNLP --also xed_en.jsonl.gz --held-out dailydialog.jsonl.gz

For each corpus and seed, one epoch from the pretrained encoder on the first corpus and this one, of each class as many
examples as --class-cap; then the scores of the first corpus's head on its dev, and on the dev of --held-out, which is
never trained on and has the same labels. Results are kept in --out: a run that was stopped continues. Such an encoder
has seen little; differences say which corpora are worth more of the time, not how good an encoder can be.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cberl.data.corpus import Corpus, detect
from cberl.data.overlap import held_out_of, without_overlap
from cberl.metrics import score
from cberl.storage import replacing
from cberl.training.core.train import set_threads
from cberl.training.text.checkpoint import TextTraining, load, prompt_of
from cberl.training.text.classifier import predict
from cberl.training.text.finetune import dev_inputs, finetune
from cberl.training.text.task import Task

NOISE = {"strip_punctuation": 0.15, "whisper_style": 0.35, "word_noise": 0.3}  # as the bundled encoder was trained
Row = dict[str, dict[str, float]]  # by corpus of the dev: weighted_f1, macro_f1


@dataclass(frozen=True, slots=True)
class Ablation:
    first: Task
    others: Sequence[Task]
    scored: Sequence[Task]  # with the first one's labels, for their dev
    config: TextTraining
    out: Path

    def run(self, other: Task | None, seed: int) -> Row:
        """Scores of one encoder, of a finished run from its file."""
        folder = self.out / (other.corpus if other else "alone") / f"seed-{seed}"
        kept = folder / "scores.json"
        if not kept.is_file():
            print(f"{folder.parent.name}, seed {seed}", file=sys.stderr)
            tasks = [self.first, *([replace(other, dev=())] if other else [])]
            finetune(tasks, folder, replace(self.config, seed=seed))
            with replacing(kept) as unfinished:
                unfinished.write_text(json.dumps(self._scores(folder / "epoch-1.pt")))
            for file in folder.glob("*.pt"):  # a hundred megabytes each
                file.unlink()
        row: Row = json.loads(kept.read_text())
        return row

    def _scores(self, trained: Path) -> Row:
        model, _, folder = load(trained)
        prompt = prompt_of(self.config, folder)
        found = {}
        for task in self.scored:
            inputs, labels = dev_inputs(task, prompt)
            with torch.inference_mode():
                said = predict(model, self.first.corpus, inputs).argmax(1).numpy()
            scores = score(np.asarray(labels), said, self.first.labels)
            found[task.corpus] = {"weighted_f1": scores.weighted_f1, "macro_f1": scores.macro_f1}
        return found


def main() -> None:
    """Prints a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the first corpus")
    parser.add_argument("--also", type=Path, action="append", default=[], help="a corpus to add; may be repeated")
    parser.add_argument("--held-out", type=Path, action="append", default=[], help="a corpus for its dev alone")
    parser.add_argument("--class-cap", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/text-corpora"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    set_threads(args.threads)
    first, others, kept_back = detect(args.data), [*map(detect, args.also)], [*map(detect, args.held_out)]
    for one in kept_back:
        if one.labels != first.labels:
            parser.error(f"{one.name} has other labels than {first.name}")
    ablation = prepared(first, others, kept_back, args)
    runs = {
        other.corpus if other else "": [ablation.run(other, seed) for seed in range(args.seeds)]
        for other in (None, *ablation.others)
    }
    rows = {name: summary(found) for name, found in runs.items()}
    if args.json:
        print(json.dumps({"class_cap": args.class_cap, "seeds": args.seeds, "corpora": rows}))
    else:
        Console().print(table(rows, first.name))


def prepared(first: Corpus, others: list[Corpus], kept_back: list[Corpus], args: argparse.Namespace) -> Ablation:
    """Train parts do not share dialogues with dev or test of any corpus."""
    held_out = held_out_of(first, *others, *kept_back)
    main_task = Task(first.name, first.labels, first.read("train"), first.read("dev"))
    tasks = [Task(one.name, one.labels, without_overlap(one.read("train"), held_out)) for one in others]
    scored = [main_task, *(Task(one.name, one.labels, (), one.read("dev")) for one in kept_back)]
    config = TextTraining(epochs=1, class_cap=args.class_cap, **NOISE)
    return Ablation(main_task, tasks, scored, config, args.out)


def summary(found: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of each score."""
    return {
        corpus: {
            name: [mean(values), stdev(values) if len(values) > 1 else 0.0]
            for name in scores
            for values in [[row[corpus][name] for row in found]]
        }
        for corpus, scores in found[0].items()
    }


def table(rows: dict[str, dict[str, dict[str, list[float]]]], first: str) -> Table:
    """A row for each corpus that was added."""
    shown = Table(title="dev, percent")
    shown.add_column("trained on")
    for corpus in rows[""]:
        for name in ("weighted F1", "macro F1"):
            shown.add_column(f"{corpus}: {name}", justify="right")
    for name, scores in rows.items():
        cells = [f"{middle:.1f} ± {spread:.1f}" for one in scores.values() for middle, spread in one.values()]
        shown.add_row(f"{first} and {name}" if name else first, *cells)
    return shown


if __name__ == "__main__":
    main()
