"""`cberl models`, as processes on a machine without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testing.bundled_whisper import require_whisper


def models(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from engine.cli import main; main()", "models", *args]
    environment = os.environ | {"HF_HOME": str(home), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_bundled_model_is_listed_and_has_a_path(tmp_path: Path) -> None:
    folder = require_whisper()
    found = {it["name"]: it for it in json.loads(models(tmp_path, "list", "--json").stdout)["models"]}
    assert found["tiny.en"]["folder"] == str(folder)
    assert found["base.en"] == {"name": "base.en", "mb": 148, "folder": None}
    shown = models(tmp_path, "path")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"{folder}\n", "")


def test_a_cached_model_has_a_path_and_needs_no_hub(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--Systran--faster-whisper-base.en"
    snapshot = repository / "snapshots" / "0" / "model.bin"
    snapshot.parent.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        snapshot.with_name(name).write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    for command in ("path", "pull"):
        shown = models(tmp_path, command, "base.en")
        assert (shown.returncode, shown.stdout.strip()) == (0, str(snapshot.parent))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("path", "base.en"), "is not on this machine: cberl models pull base.en"),
        (("pull", "base.en"), "base.en is not in the local cache, and the model hub http://127.0.0.1:9 cannot be"),
        (
            ("pull", "colossal"),
            "'colossal' is no Whisper model: give a folder, a hub id (owner/name) or one of tiny.en",
        ),
    ],
)
def test_a_model_that_cannot_be_had_is_one_sentence(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    refused = models(tmp_path, *args)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
