"""`cberl report` as a command, on a small corpus and untrained networks."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cberl.calibration import Calibration
from cberl.checkpoint import Checkpoint
from cberl.config import ModelConfig
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import TEXT_ENCODER, bundled_visual_config, unfitted_audio_config
from cberl.model import CBERL
from cberl.training.features.corpus import text_fingerprint
from engine.cli.app import cli
from testing.corpora import make_fer2013, make_ravdess

LABELS = ("neutral", "fear")
SAID = ("it is on the table", "please do not leave me here", "we take the train", "something is in the dark")


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "corpus.toml").write_text(f'name = "talks"\nlabels = {json.dumps(LABELS)}\n')
    for split in ("train", "dev"):
        rows = [
            {
                "conversation": f"{split}-{conversation}",
                "speaker": "ab"[n % 2],
                "start_s": n,
                "end_s": n + 0.9,
                "text": text,
                "emotion": LABELS[n % 2],
            }
            for conversation in range(3)
            for n, text in enumerate(SAID)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


AUDIO = unfitted_audio_config()


def checkpoint(
    folder: Path,
    seed: int,
    text: Path = TEXT_ENCODER,
    audio: AudioEncoderConfig = AUDIO,
    **shape: object,
) -> None:
    torch.manual_seed(seed)
    config = ModelConfig(labels=LABELS, latent_dim=8, hidden_dim=8, heads=2, audio_dim=audio.dim, **shape)  # type: ignore[arg-type]
    model = CBERL(config)
    visual = asdict(bundled_visual_config()) if "visual_dim" in shape else None
    encoders = {"text": {"sha256": text_fingerprint(text)}, "audio": asdict(audio), "visual": visual}
    Checkpoint("toy", model, Calibration((-0.6, -0.8)), encoders, {}).save(folder / f"seed-{seed}")


def test_a_report_of_two_groups(talks: Path, tmp_path: Path) -> None:
    checkpoint(tmp_path / "ours", 0)
    checkpoint(tmp_path / "ours", 1)
    checkpoint(tmp_path / "later", 2, lookahead=1)
    common = [
        "--data",
        str(talks),
        "--cache",
        str(tmp_path / "cache"),
        "--threads",
        "1",
        "--out",
        str(tmp_path / "page"),
    ]
    groups = [str(tmp_path / "ours"), str(tmp_path / "later")]
    shown = CliRunner().invoke(cli, ["report", *groups, *common, "--asr-noise", "0,50"])
    assert shown.exit_code == 0, shown.output
    found = json.loads((tmp_path / "page.json").read_text())
    assert found["command"] == "cberl report ours later --split dev --asr-noise 0,50"
    assert [row["later"] for row in found["future"]["rows"]] == [0, 1]
    assert [row["asked"] for row in found["misheard"]] == [None, 0, 50]
    assert found["groups"][0]["seeds"] == 2


def test_each_group_is_encoded_with_its_own_text_encoder(talks: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(TEXT_ENCODER, own)
    about = json.loads((own / "text.json").read_text())
    (own / "text.json").write_text(json.dumps(about | {"past_turns": 0, "training": {"base": "someone/large"}}))
    checkpoint(tmp_path / "ours", 0)
    checkpoint(tmp_path / "alike", 0, own)
    words = ["report", str(tmp_path / "ours"), str(tmp_path / "alike"), "--data", str(talks), "--threads", "1"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "page")]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 1
    assert "give the folder of its own as --text-encoder" in refused.output
    shown = CliRunner().invoke(cli, [*words, "--text-encoder", str(own)])
    assert shown.exit_code == 0, shown.output
    page = (tmp_path / "page.md").read_text()
    assert f"--text-encoder {tmp_path.name}/own`" in page
    weighted = json.loads((TEXT_ENCODER / "text.json").read_text())["dev"]["weighted_f1"]
    assert f"- `ours`: the text encoder is a fine-tuned all-MiniLM-L6-v2, 24 MB, {weighted:.1f} weighted" in page
    assert "- `alike`: the text encoder is a fine-tuned large, 24 MB" in page
    assert "| alike | another text encoder |" in page
    assert len(list((tmp_path / "cache").glob("talks-dev-*"))) == 2


def test_a_report_on_a_composed_corpus_has_all_modalities(talks: Path, tmp_path: Path) -> None:
    checkpoint(tmp_path / "sees", 0, audio=unfitted_audio_config(speech_emotion=True), visual_dim=7)
    checkpoint(tmp_path / "reads", 0)
    out, cache = tmp_path / "page", tmp_path / "cache"
    words = ["report", str(tmp_path / "sees"), str(tmp_path / "reads"), "--data", str(talks), "--cache", str(cache)]
    words += ["--out", str(out), "--threads", "1", "--ravdess", str(make_ravdess(tmp_path / "ravdess"))]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 2
    assert "both --ravdess and --fer2013" in refused.output
    shown = CliRunner().invoke(cli, [*words, "--fer2013", str(make_fer2013(tmp_path / "faces.npz"))])
    assert shown.exit_code == 0, shown.output
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["corpus"] == "talks with composed speech emotion and faces"
    assert found["modalities"]["subsets"].keys() == {"text", "visual", "text+visual"}  # no audio, so no speech emotion
    assert found["targets"] == {}


def test_a_missing_text_encoder_is_reported(talks: Path, tmp_path: Path) -> None:
    other = tmp_path / "encoder"
    shutil.copytree(TEXT_ENCODER, other)
    (other / "text.json").write_text((other / "text.json").read_text() + "\n")
    checkpoint(tmp_path / "ours", 0, other)
    common = ["--data", str(talks), "--cache", str(tmp_path / "cache"), "--split", "dev"]
    words = ["evaluate", str(tmp_path / "ours" / "seed-0"), *common, "--json"]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 1
    assert "--text-encoder" in refused.output
    scored = CliRunner().invoke(cli, [*words, "--text-encoder", str(other)])
    assert scored.exit_code == 0, scored.output


@pytest.mark.parametrize("rates", ["ten", "0,120"])
def test_error_rates_are_percentages(talks: Path, tmp_path: Path, rates: str) -> None:
    refused = CliRunner().invoke(cli, ["report", str(tmp_path), "--data", str(talks), "--asr-noise", rates])
    assert refused.exit_code == 2
    assert "percent" in refused.output
