"""`cberl finetune-text` as a process: the bundled encoder is restored, averaged and exported again."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from cberl.encoders.bundle import TEXT_ENCODER
from cberl.encoders.text import TextEncoder
from testing.command import MAIN


def cberl(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_bundled_encoder_is_restored_and_its_average_with_itself_is_the_same(tmp_path: Path) -> None:
    sample, out = str(tmp_path / "sample"), str(tmp_path / "text")
    assert cberl("data", "sample", sample).returncode == 0
    common = ["finetune-text", "--data", sample, "--threads", "1", "--out", out]
    restored = cberl(*common, "--restore", str(TEXT_ENCODER))
    assert restored.returncode == 0, restored.stderr
    file = str(tmp_path / "text/restored.pt")
    mean = cberl(*common, "--average", file, "--average", file)
    assert mean.returncode == 0, mean.stderr
    before, after = TextEncoder(TEXT_ENCODER), TextEncoder(tmp_path / "text/onnx")
    said = [before.prompt.build((), "a", "I can't believe it!")]
    np.testing.assert_allclose(after.encode(said), before.encode(said), atol=0.05)  # weights are rounded to int8 again


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sample = str(tmp_path / "sample")
    assert cberl("data", "sample", sample).returncode == 0
    done = cberl(
        "finetune-text", "--data", sample, "--restore", str(tmp_path / "empty"), "--out", str(tmp_path / "out")
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "empty") in done.stderr
