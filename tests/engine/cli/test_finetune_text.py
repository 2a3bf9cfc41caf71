"""`cberl finetune-text` as a process: the bundled encoder is restored, averaged and exported again."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from cberl.data.corpus import detect, read_corpus
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
    ((vector,), (wanted,)) = (it.encode([it.prompt.build((), "a", "I can't believe it!")]) for it in (after, before))
    assert vector @ wanted / np.linalg.norm(vector) / np.linalg.norm(wanted) > 0.995  # rounded to int8 again


def test_a_file_of_labelled_text_is_trained_on_too_and_chooses_the_epoch(tmp_path: Path) -> None:
    """Twenty sentences, of which the corpus's dev has two; one with two labels; one that is a line of MELD's test."""
    sample, file = tmp_path / "sample", tmp_path / "more.jsonl.gz"
    assert cberl("data", "sample", str(sample)).returncode == 0
    (held_out, *_) = [
        line.text for one in read_corpus(sample, "test") for line in one.lines if len(line.text.split()) > 5
    ]
    rows = [{"id": n, "text": f"I am so happy about number {n}", "meld": "joy"} for n in range(20)]
    rows += [
        {"id": 20, "text": "How could you", "meld": ["anger", "disgust"]},
        {"id": 21, "text": held_out, "meld": "joy"},
    ]
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    out = tmp_path / "text"
    common = ["finetune-text", "--data", str(sample), "--also", str(file), "--threads", "1", "--out", str(out)]
    done = cberl(*common, "--epochs", "1", "--class-cap", "8", "--max-tokens", "24")
    assert done.returncode == 0, done.stderr
    assert "the rest overlaps with dev or test" in done.stderr
    result = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert set(result["dev"]) == {detect(sample).name, "more"}
    assert sum(result["dev"]["more"]["support"].values()) == 2
    assert (out / "onnx/text.onnx").is_file()


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
