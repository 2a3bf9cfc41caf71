"""Training on one's own films: their voices and faces reach the network, and the live engine opens what was trained."""

import json
from pathlib import Path

from click.testing import CliRunner

from cberl.data.features import load_features
from engine.cli.app import cli
from engine.config import Settings
from engine.conversation.models import load_checkpoint_and_encoders
from tests.cberl.training.features.test_clip_encoders import make_talking_film

SMALL = ["--set", "train.epochs=1", "--set", "model.hidden_dim=16", "--set", "model.heads=2", "--threads", "1"]


def make_corpus(folder: Path, media: str | None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "corpus.toml").write_text('name = "films"\nlabels = ["joy", "anger"]\n')
    for split, count in (("train", 8), ("dev", 3)):
        rows = []
        for n in range(count):
            start_s = 0.25 * n
            row = {"conversation": split, "speaker": "ab"[n % 2], "start_s": start_s, "end_s": start_s + 0.6 + n / 20}
            rows.append(
                row | {"text": "well then", "emotion": ("joy", "anger")[n % 2]} | ({"media": media} if media else {})
            )
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_own_voices_and_faces_are_learnt_and_scored(shared: Path, tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "films", "film.mkv")
    make_talking_film(shared, folder / "film.mkv")
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache")]
    words = ["train", "plain", *common, *SMALL, "--out", str(tmp_path / "runs"), "--voices", "--faces"]
    trained = CliRunner().invoke(cli, words)
    assert trained.exit_code == 0, trained.output
    run = tmp_path / "runs" / "seed-0"
    checkpoint, encoders = load_checkpoint_and_encoders(Settings(checkpoint=str(run)))
    assert checkpoint.model.config.modality_dims == {"text": 384, "audio": 15, "visual": 7}
    assert (encoders.audio.dim, encoders.visual.dim) == (15, 7)
    scored = CliRunner().invoke(cli, ["evaluate", str(run), *common, "--split", "dev"])
    assert scored.exit_code == 0, scored.output
    joined = CliRunner().invoke(cli, ["train", "starter", *common, *SMALL, "--voices", "--out", str(tmp_path / "no")])
    assert "--voices reads the corpus's own, and the recipe joins others" in joined.output


def test_features_hold_what_is_heard_and_seen(shared: Path, tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "films", "film.mkv")
    make_talking_film(shared, folder / "film.mkv")
    words = ["data", "features", str(folder), "--out", str(tmp_path / "x.safetensors"), "--cache", str(tmp_path / "c")]
    made = CliRunner().invoke(cli, [*words, "--voices", "--faces", "--processes", "1"])
    assert made.exit_code == 0, made.output
    features = load_features(tmp_path / "x.train.safetensors")
    assert features.x["audio"].shape == (8, 15)
    assert features.x["audio"][:, 8:].any(1).all()  # every turn has a voice
    assert features.present["visual"].tolist() == [True] * 7 + [False]  # the last turn begins when the face is gone
    assert features.x["visual"].any(1).tolist() == features.present["visual"].tolist()


def test_where_there_are_no_recordings_it_says_so(tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "words", None)
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "runs")]
    for flag, what in (("--voices", "voices"), ("--faces", "faces")):
        refused = CliRunner().invoke(cli, ["train", "plain", *common, *SMALL, flag])
        assert refused.exit_code == 1
        assert f"has no recordings, so there are no {what} in it" in refused.output
