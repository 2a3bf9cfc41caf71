"""Training on the user's own recordings, with speech emotion and faces; the checkpoint opens in the live engine."""

import json
from pathlib import Path

from click.testing import CliRunner

from cberl.checkpoint import load_checkpoint
from cberl.data.features import load_features
from cberl.encoders.bundle import load_checkpoint_and_encoders
from engine.cli.app import cli
from testing.corpora import make_talking_film

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


def test_speech_emotion_and_faces_of_own_recordings_are_trained_on_and_scored(shared: Path, tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "films", "film.mkv")
    make_talking_film(shared, folder / "film.mkv")
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache")]
    words = ["train", "plain", *common, *SMALL, "--out", str(tmp_path / "runs"), "--speech-emotion", "--faces"]
    trained = CliRunner().invoke(cli, words)
    assert trained.exit_code == 0, trained.output
    run = tmp_path / "runs" / "seed-0"
    checkpoint, encoders = load_checkpoint_and_encoders(run)
    assert checkpoint.config.modality_dims == {"text": 384, "audio": 15, "visual": 7}
    assert (encoders.audio.dim, encoders.visual.dim) == (15, 7)
    scored = CliRunner().invoke(cli, ["evaluate", str(run), *common, "--split", "dev"])
    assert scored.exit_code == 0, scored.output
    refused = CliRunner().invoke(
        cli, ["train", "starter", *common, *SMALL, "--speech-emotion", "--out", str(tmp_path / "no")]
    )
    assert "--speech-emotion reads the corpus's own recordings, the recipe others" in refused.output


def test_another_face_detector_gives_other_features_and_is_recorded(shared: Path, tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "films", "film.mkv")
    make_talking_film(shared, folder / "film.mkv")
    yunet = ["--face-detector", str(shared / "models/face_detection_yunet.onnx")]
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache")]
    words = ["train", "plain", *common, *SMALL, "--out", str(tmp_path / "runs"), "--faces"]
    trained = CliRunner().invoke(cli, [*words, *yunet])
    assert trained.exit_code == 0, trained.output
    load_checkpoint_and_encoders(tmp_path / "runs" / "seed-0", face_detector=Path(yunet[1]))
    assert len(load_checkpoint(tmp_path / "runs" / "seed-0").provenance["face_detector_sha256"]) == 64
    for options in (yunet, []):
        scored = CliRunner().invoke(
            cli, ["evaluate", str(tmp_path / "runs/seed-0"), *common, *options, "--split", "dev", "--json"]
        )
        assert scored.exit_code == 0, scored.output
    visual = [load_features(path).x["visual"] for path in (tmp_path / "cache").glob("films-dev-*.safetensors")]
    assert len(visual) == 2
    assert (visual[0] - visual[1]).abs().max() > 1e-3
    other = ["--out", str(tmp_path / "other"), "--face-detector", str(tmp_path / "none.onnx")]
    refused = CliRunner().invoke(cli, [*words, *other])
    assert refused.exit_code == 1
    assert "none.onnx is missing: --face-detector takes" in refused.output


def test_features_include_speech_emotion_and_faces(shared: Path, tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "films", "film.mkv")
    make_talking_film(shared, folder / "film.mkv")
    words = ["data", "features", str(folder), "--out", str(tmp_path / "x.safetensors"), "--cache", str(tmp_path / "c")]
    # --voices is the former name of --speech-emotion
    made = CliRunner().invoke(cli, [*words, "--voices", "--faces", "--processes", "1"])
    assert made.exit_code == 0, made.output
    features = load_features(tmp_path / "x.train.safetensors")
    assert features.x["audio"].shape == (8, 15)
    assert features.x["audio"][:, 8:].any(1).all()  # every turn has speech emotion scores
    assert features.present["visual"].tolist() == [True] * 7 + [False]  # the last turn starts after the face has gone
    assert features.x["visual"].any(1).tolist() == features.present["visual"].tolist()


def test_a_corpus_without_recordings_is_refused(tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "words", None)
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "runs")]
    for flag in ("--speech-emotion", "--faces"):
        refused = CliRunner().invoke(cli, ["train", "plain", *common, *SMALL, flag])
        assert refused.exit_code == 1
        assert "has no recordings to encode" in refused.output
