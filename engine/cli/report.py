"""`cberl report`"""

from collections.abc import Sequence
from pathlib import Path

import click

from cberl.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from cberl.data.corpus import detect
from cberl.data.features import FeatureSet
from cberl.evaluation.compare import Group
from cberl.evaluation.evaluate import features_for, text_encoder_of
from cberl.evaluation.report.gather import Source, gather
from cberl.evaluation.report.page import write_report
from cberl.training.core.train import set_threads
from cberl.training.features.asr_noise_features import AsrNoiseFeatures
from cberl.training.features.composed import composed_split, held_out_pools
from cberl.training.features.corpus import text_name
from engine.cli.sources import face_detector
from engine.cli.text_encoder import scored_with


@click.command(
    "report",
    epilog="""\b
Examples:
  cberl report runs/starter runs/plain --plain plain --data MELD   docs/report.md, on dev
  cberl report runs/starter --data MELD --split test --out out/test
  cberl report runs/starter --data MELD --asr-noise 0,10,20,30,40
  cberl report runs/starter --data MELD --ravdess RAVDESS --fer2013 FER2013.npz --out docs/report-composed
Each GROUP is a folder of `cberl train --seeds N`. The first is reported in detail, the others are compared with it.
Groups trained with --set model.lookahead=2 or --set model.direction=offline show the gain from later utterances.""",
)
@click.argument("groups", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the corpus.")
@click.option("--classes", type=int, help="6 or 4: which of IEMOCAP's label sets.")
@click.option("--split", type=click.Choice(["dev", "test"]), default="dev", show_default=True)
@click.option(
    "--plain",
    metavar="GROUP",
    multiple=True,
    help="A baseline group, which decides by argmax without logit adjustment; may be repeated. Targets use the first.",
)
@click.option("--asr-noise", metavar="LIST", default="", help="Word error rates in percent, such as 0,10,20.")
@click.option("--ravdess", type=click.Path(path_type=Path), help="With --fer2013: speech for a composed corpus.")
@click.option("--fer2013", type=click.Path(path_type=Path), help="With --ravdess: faces for a composed corpus.")
@face_detector
@scored_with
@click.option(
    "--out", type=click.Path(path_type=Path), default="docs/report", show_default=True, help="Without suffix."
)
@click.option("--cache", type=click.Path(path_type=Path), default="cache", show_default=True, help="Encoded features.")
@click.option("--threads", default=2, show_default=True, help="CPU threads.")
def command(
    groups: tuple[Path, ...],
    data: Path,
    classes: int | None,
    split: str,
    plain: tuple[str, ...],
    asr_noise: str,
    ravdess: Path | None,
    fer2013: Path | None,
    face_detector: Path | None,
    text_encoders: tuple[Path, ...],
    out: Path,
    cache: Path,
    threads: int,
) -> None:
    """Compare groups of runs: one page with tables and plots, and all figures as JSON.

    With --ravdess and --fer2013, every utterance gets speech emotion and face scores of other people, of which six in
    ten have its label. This measures the use of all modalities and of subsets, not the accuracy on real recordings.
    """
    if (ravdess is None) != (fer2013 is None):
        raise click.UsageError("give both --ravdess and --fer2013, or neither")
    set_threads(threads)
    rates = _rates(asr_noise)
    corpus = detect(data, classes)
    loaded = [_load(folder, text_encoders) for folder in groups]
    pools = held_out_pools(corpus, cache, ravdess, fer2013) if ravdess and fer2013 else None
    noise = AsrNoiseFeatures(corpus, split, cache, text_encoder_of(loaded[0].checkpoints[0], text_encoders))

    def features(checkpoint: Checkpoint, of: str) -> FeatureSet:
        if pools is None:
            return features_for(checkpoint, corpus, of, cache, text_encoders, face_detector)
        return composed_split(checkpoint, corpus, of, pools, cache, text_encoder_of(checkpoint, text_encoders))

    name = corpus.name if pools is None else f"{corpus.name} with composed speech emotion and faces"
    found, maps = gather(loaded, Source(name, split, features, noise.features), plain, rates)
    found = {
        "command": _command(groups, split, plain, asr_noise, text_encoders, composed=pools is not None),
        **found,
    }
    write_report(found, maps, out)
    click.echo(f"{out}.md")


def _command(
    groups: Sequence[Path],
    split: str,
    plain: Sequence[str],
    asr_noise: str,
    text_encoders: Sequence[Path],
    *,
    composed: bool,
) -> str:
    """The command line, without paths that mean nothing on other machines."""
    words = [folder.name for folder in groups] + ["--split", split]
    for name in plain:
        words += ["--plain", name]
    words += ["--asr-noise", asr_noise] if asr_noise else []
    for folder in text_encoders[:-1]:  # the last is the bundled one
        words += ["--text-encoder", f"{folder.parent.name}/{folder.name}"]
    words += ["--ravdess", "RAVDESS", "--fer2013", "FER2013.npz"] if composed else []
    return f"cberl report {' '.join(words)}"


def _rates(asr_noise: str) -> list[float]:
    """`0,10` -> [0.0, 0.1]"""
    try:
        rates = [float(rate) / 100 for rate in asr_noise.split(",") if rate.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{asr_noise!r} is not a list of percentages such as 0,10,20") from error
    if any(not 0 <= rate <= 1 for rate in rates):
        raise click.BadParameter("a word error rate is from 0 to 100 percent", param_hint="--asr-noise")
    return rates


def _load(folder: Path, texts: Sequence[Path]) -> Group:
    seeds = sorted(folder.glob("seed-*"))
    if not seeds:
        raise CheckpointError(f"{folder} holds no seed-N: give a folder that `cberl train --seeds N` wrote")
    checkpoints = [load_checkpoint(seed) for seed in seeds]
    return Group(folder.name, checkpoints, text_name(text_encoder_of(checkpoints[0], texts)))
