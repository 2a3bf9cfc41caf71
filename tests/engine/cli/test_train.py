"""`cberl train` and `cberl evaluate` as commands, on a small corpus, with all optional terms."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cberl.checkpoint import WEIGHTS, CheckpointError, load_checkpoint
from cberl.encoders.bundle import load_checkpoint_and_encoders
from cberl.training.core.recipe import FOLDER, names
from engine.cli.app import cli
from testing.corpora import make_fer2013, make_ravdess

LABELS = ("neutral", "anger", "fear")
SAID = {
    "neutral": ("the meeting is at ten", "it is on the table", "we take the train"),
    "anger": ("how dare you do that", "get out of my house", "you lied to me again"),
    "fear": ("please do not leave me here", "I am so scared", "something is in the dark"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of short conversations in which fear is rare."""
    data = tmp_path / "talks"
    data.mkdir()
    (data / "corpus.toml").write_text(f'name = "talks"\nlabels = {json.dumps(LABELS)}\n')
    draw = random.Random(0)
    for split, conversations in (("train", 20), ("dev", 6)):
        rows = []
        for conversation in range(conversations):
            for n in range(draw.randint(2, 5)):
                emotion = draw.choices(LABELS, (6, 3, 1))[0]
                rows.append(
                    {
                        "conversation": f"{split}-{conversation}",
                        "speaker": "ab"[n % 2],
                        "start_s": 2.0 * n,
                        "end_s": 2.0 * n + 1.5,
                        "text": draw.choice(SAID[emotion]),
                        "emotion": emotion,
                    }
                )
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return data


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("verb", [["train", "smoke"], ["sweep", "smoke"], ["finetune-text"]])
def test_a_missing_gpu_is_one_sentence(verb: list[str], folder: Path) -> None:
    refused = CliRunner().invoke(cli, [*verb, "--data", str(folder), "--device", "cuda"])
    assert refused.exit_code == 2
    assert "PyTorch sees no GPU here" in refused.output


def test_training_with_all_terms_then_evaluation(folder: Path, tmp_path: Path) -> None:
    runs, cache = tmp_path / "runs", tmp_path / "cache"
    common = ["--data", str(folder), "--cache", str(cache)]
    words = ["train", "smoke", *common, "--out", str(runs), "--seeds", "2", "--threads", "1", "--name", "talks-1"]
    trained = CliRunner().invoke(cli, words)
    assert trained.exit_code == 0, trained.output
    assert "best on dev" in trained.output
    refused = CliRunner().invoke(cli, words)
    assert (refused.exit_code, "seed-0 holds a run already: --resume" in refused.output) == (1, True)
    checkpoint = load_checkpoint(runs / "seed-1")
    assert (checkpoint.name, checkpoint.model.config.labels) == ("talks-1", LABELS)
    assert checkpoint.provenance["augment"]["method"] == "gan"
    terms = json.loads((runs / "seed-0" / "log.jsonl").read_text().splitlines()[0])["losses"]
    assert {"classification", "reconstruction", "masked", "contrastive"} <= terms.keys()
    checkpoints = [str(runs / "seed-0"), str(runs / "seed-1")]
    scored = CliRunner().invoke(cli, ["evaluate", *checkpoints, *common, "--split", "dev", "--json"])
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout.splitlines()[-1])["seeds"] == 2


def test_a_network_is_trained_on_two_corpora(folder: Path, tmp_path: Path) -> None:
    """The other one has the same labels; a third one has others and is refused."""
    other = tmp_path / "chats"
    shutil.copytree(folder, other)
    (other / "corpus.toml").write_text(f'name = "chats"\nlabels = {json.dumps(LABELS)}\n')
    words = ["train", "smoke", "--data", str(folder), "--also", str(other), "--cache", str(tmp_path / "cache")]
    small = [
        "--set",
        "train.epochs=1",
        "--set",
        "augment.method=none",
        "--threads",
        "1",
        "--out",
        str(tmp_path / "runs"),
    ]
    trained = CliRunner().invoke(cli, [*words, *small])
    assert trained.exit_code == 0, trained.output
    assert load_checkpoint(tmp_path / "runs/seed-0").provenance["corpus"] == "talks+chats"
    (other / "corpus.toml").write_text('name = "chats"\nlabels = ["anger", "fear", "neutral"]\n')
    refused = CliRunner().invoke(cli, [*words, *small, "--resume"])
    assert (refused.exit_code, "one label set" in refused.output) == (1, True)


def test_a_checkpoint_of_a_composed_corpus_names_its_encoders(folder: Path, tmp_path: Path) -> None:
    ravdess, fer2013 = make_ravdess(tmp_path / "ravdess"), make_fer2013(tmp_path / "fer2013.npz")
    common = ["--data", str(folder), "--cache", str(tmp_path / "cache")]
    small = ["--set", "train.epochs=1", "--set", "model.hidden_dim=16", "--set", "model.heads=2", "--threads", "1"]
    words = ["train", "starter", *common, *small, "--out", str(tmp_path / "runs")]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 1
    assert "give --ravdess FOLDER" in refused.output
    trained = CliRunner().invoke(cli, [*words, "--ravdess", str(ravdess), "--fer2013", str(fer2013)])
    assert trained.exit_code == 0, trained.output
    run = tmp_path / "runs" / "seed-0"
    checkpoint, encoders = load_checkpoint_and_encoders(run)
    assert checkpoint.config.modality_dims == {"text": 384, "audio": 15, "visual": 7}
    assert (encoders.audio.dim, encoders.visual.dim) == (15, 7)
    assert load_checkpoint(run).provenance["compose"]["mismatch"] == 0.4
    scored = CliRunner().invoke(cli, ["evaluate", str(run), *common, "--split", "dev"])
    assert scored.exit_code == 0, scored.output
    other = json.loads((run / "config.json").read_text())
    other["encoders"]["visual"]["expression_sha256"] = "0"
    (run / "config.json").write_text(json.dumps(other))
    with pytest.raises(CheckpointError, match="another expression network than the one in"):
        load_checkpoint_and_encoders(run)


def test_a_checkpoint_opens_only_with_its_own_text_encoder(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(WEIGHTS / "text", own)
    about = json.loads((own / "text.json").read_text()) | {"past_turns": 1}
    (own / "text.json").write_text(json.dumps(about))
    small = ["--set", "train.epochs=1", "--set", "model.hidden_dim=16", "--set", "model.heads=2", "--threads", "1"]
    words = [
        "train",
        "plain",
        "--data",
        str(folder),
        "--cache",
        str(tmp_path / "cache"),
        "--out",
        str(tmp_path / "runs"),
    ]
    trained = CliRunner().invoke(cli, [*words, *small, "--text-encoder", str(own)])
    assert trained.exit_code == 0, trained.output
    run = tmp_path / "runs" / "seed-0"
    with pytest.raises(CheckpointError, match="another text encoder than .*: give its folder as --text-encoder"):
        load_checkpoint_and_encoders(run)
    _, encoders = load_checkpoint_and_encoders(run, own)
    assert encoders.text.prompt.past_turns == 1


def test_a_checkpoint_is_not_scored_on_a_corpus_with_other_labels(folder: Path, tmp_path: Path) -> None:
    scored = CliRunner().invoke(cli, ["evaluate", "--data", str(folder), "--split", "dev", "--cache", str(tmp_path)])
    assert scored.exit_code == 1
    assert "cberl-starter-5 has the labels neutral, surprise" in scored.output
    assert "but talks neutral, anger, fear" in scored.output


@pytest.mark.timeout(600)  # two trainings, one in a process that loads PyTorch
def test_a_killed_run_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    """With all optional terms, including the GAN and the moving average."""
    words = ["train", "smoke", "--data", str(folder), "--cache", str(tmp_path / "cache"), "--threads", "1"]
    words += ["--set", "train.epochs=60", "--set", "train.patience=60"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = CliRunner().invoke(cli, [*words, "--out", str(whole)])
    assert done.exit_code == 0, done.output
    log = parts / "seed-0" / "log.jsonl"
    command = [sys.executable, "-c", "from engine.cli import main; main()", *words, "--out", str(parts)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (log.is_file() and log.read_text().count("\n") >= 3):
            assert process.poll() is None, "it ended before its third epoch"
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    epochs = torch.load(parts / "seed-0" / "last.pt", weights_only=True)["epoch"]
    assert 2 <= epochs < 60
    other = CliRunner().invoke(cli, [*words, "--out", str(parts), "--resume", "--set", "augment.gan.steps=21"])
    assert "was started with other settings (recipe)" in other.output
    resumed = CliRunner().invoke(cli, [*words, "--out", str(parts), "--resume"])
    assert resumed.exit_code == 0, resumed.output
    for name in ("model.safetensors", "config.json", "log.jsonl"):
        assert (parts / "seed-0" / name).read_bytes() == (whole / "seed-0" / name).read_bytes(), name
    # A finished run is not changed.
    before = os.stat(parts / "seed-0" / "model.safetensors").st_mtime_ns
    again = CliRunner().invoke(cli, [*words, "--out", str(parts), "--resume"])
    assert again.stdout == resumed.stdout
    assert os.stat(parts / "seed-0" / "model.safetensors").st_mtime_ns == before


@pytest.mark.parametrize("recipe", names())
def test_the_commands_in_the_header_of_a_recipe_are_valid(recipe: str) -> None:
    header = (FOLDER / f"{recipe}.toml").read_text().split("\n\n", maxsplit=1)[0]
    commands = [shlex.split(found) for found in re.findall(r"^# +cberl (.+)$", header, re.MULTILINE)]
    assert any(words[:2] == ["train", recipe] for words in commands)
    for verb, *arguments in commands:
        command = cli.get_command(cli.make_context("cberl", [], resilient_parsing=True), verb)
        assert command is not None, verb
        command.make_context(verb, arguments)  # raises for an invalid command
