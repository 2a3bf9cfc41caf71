"""`cberl data` as a command: checks a folder, and computes its features."""

import codecs
import gzip
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cberl.data.features import features_about, load_features
from cberl.encoders.bundle import TEXT_ENCODER
from engine.cli.app import cli

RATE = 16_000


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["data", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "calls"
    data.mkdir()
    (data / "corpus.toml").write_text('name = "calls"\nlabels = ["neutral", "anger"]\n')
    time_s = np.arange(6 * RATE) / RATE
    voice = 0.3 * np.sin(2 * np.pi * (180 + 20 * time_s) * time_s) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time_s))
    with wave.open(str(data / "call.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((32767 * voice).astype("<i2").tobytes())
    rows = [
        {
            "conversation": f"c{n // 3}",
            "speaker": "ab"[n % 2],
            "start_s": n / 2,
            "end_s": n / 2 + 0.5 + n / 50,
            "text": f"utterance number {n}",
            "emotion": ("neutral", "anger", None)[n % 3],
            "media": "call.wav",
        }
        for n in range(9)
    ]
    (data / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (data / "test.jsonl").write_text(json.dumps(rows[0] | {"conversation": "t", "emotion": "anger"}))
    return data


def test_lines_that_another_corpus_holds_out_are_counted(tmp_path: Path, folder: Path) -> None:
    said = ("utterance number 0 of all", "Another sentence of five words.", "What?")
    path = tmp_path / "lines.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"id": text, "text": text, "meld": ["joy", "fear"]}) + "\n" for text in said)
    (folder / "test.jsonl").write_text(
        json.dumps(
            {"conversation": "t", "speaker": "a", "start_s": 0, "end_s": 1, "text": said[0].upper(), "emotion": "anger"}
        )
    )
    command = [sys.executable, "-c", "from engine.cli import main; main()", "data", "check", str(path)]
    done = subprocess.run([*command, "--against", str(folder)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lines: 1 of 3 dialogues share a line with the dev or test of calls" in done.stdout
    assert "several labels" in done.stdout
    missing = subprocess.run([*command, "--against", "nowhere"], capture_output=True, text=True, timeout=120)
    assert missing.returncode == 1
    assert missing.stderr.startswith("Error: nowhere is not a folder")


def test_check(folder: Path) -> None:
    code, output = run("check", folder)
    assert code == 0
    assert "calls: nothing is wrong" in output
    with (folder / "train.jsonl").open("a") as file:
        file.write('\n{"conversation": "c9"}\nno')
    code, output = run("check", folder)
    assert code == 1
    told = output.splitlines()
    assert told[:2] == ["train.jsonl, line 10: speaker is missing", "train.jsonl, line 10: start_s is missing"]
    assert "train.jsonl, line 11: not JSON" in output
    assert told[-1] == "calls: 4 problems"
    code, output = run("check", folder, "--json")
    assert code == 1
    assert json.loads(output)["splits"]["test"]["classes"] == {"neutral": 0, "anger": 1}
    assert run("check", folder / "nothing")[0] == 1


def test_check_as_a_process_exits_with_1_where_there_is_a_problem(folder: Path) -> None:
    main = [sys.executable, "-c", "from engine.cli import main; main()", "data", "check", str(folder)]
    assert subprocess.run(main, check=False, capture_output=True).returncode == 0
    header = folder / "corpus.toml"
    header.write_bytes(codecs.BOM_UTF8 + header.read_bytes())
    assert subprocess.run(main, check=False, capture_output=True).returncode == 0
    (folder / "call.wav").unlink()
    ended = subprocess.run(main, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"{folder / 'call.wav'} is missing" in ended.stdout


@pytest.mark.skipif(not TEXT_ENCODER.is_dir(), reason="the text encoder is not built in")
def test_features(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ("features", folder, "--out", tmp_path / "out" / "calls.safetensors", "--cache", tmp_path / "cache")
    code, output = run(*words, "--processes", "1")
    assert code == 0, output
    train = load_features(tmp_path / "out" / "calls.train.safetensors")
    dev = load_features(tmp_path / "out" / "calls.dev.safetensors")
    assert sorted([*train.lengths.tolist(), *dev.lengths.tolist()]) == [3, 3, 3]
    assert train.present["audio"].all()
    assert train.label.tolist() == [0, 1, -1, 0, 1, -1]
    assert json.loads(features_about(tmp_path / "out" / "calls.test.safetensors")["labels"]) == ["neutral", "anger"]

    (folder / "call.wav").unlink()
    code, output = run(*words, "--split", "train", "--processes", "1")
    assert code == 0
    assert f"without audio: {folder / 'call.wav'} is missing" in caplog.text
    assert not load_features(tmp_path / "out" / "calls.train.safetensors").present["audio"].any()
