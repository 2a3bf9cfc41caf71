"""`cberl sweep` as a command, stopped and continued, on the corpus of `cberl data sample`."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cberl.checkpoint import load_checkpoint
from cberl.data.sample import MANNERS
from engine.cli.app import cli
from testing.command import MAIN

SCORE = ("dev_weighted_f1", "dev_macro_f1")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "sample"
    made = CliRunner().invoke(cli, ["data", "sample", str(folder)])
    assert made.exit_code == 0, made.output
    return folder


def test_the_sample_has_no_problems_and_overwrites_nothing(sample: Path, tmp_path: Path) -> None:
    checked = CliRunner().invoke(cli, ["data", "check", str(sample), "--json"])
    assert checked.exit_code == 0, checked.output
    assert all(count["without_audio"] == 0 for count in json.loads(checked.stdout)["splits"].values())
    (tmp_path / "corpus.toml").write_text('name = "mine"\nlabels = ["a", "b"]\n')
    refused = CliRunner().invoke(cli, ["data", "sample", str(tmp_path)])
    assert refused.exit_code == 1
    assert "is not empty: give a new folder" in refused.output


@pytest.mark.timeout(900)  # each run is a process that loads PyTorch
def test_a_sweep_stops_on_ctrl_c_continues_and_compares(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    words = ["sweep", "smoke", "--data", str(sample), "--cache", str(sample.parent / "cache"), "--out", str(out)]
    words += ["--grid", "train.focal_gamma=0,2", "--set", "train.epochs=40", "--jobs", "2", "--threads", "1"]
    log = out / "focal_gamma=2" / "seed-0" / "log.jsonl"
    pipe, same = subprocess.PIPE, subprocess.STDOUT
    command = [sys.executable, "-c", MAIN, *words]
    with subprocess.Popen(command, stdout=pipe, stderr=same, text=True, start_new_session=True) as process:
        while not log.is_file():
            assert process.poll() is None, "it ended before its first epoch"
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGINT)  # to all processes of the group, like a terminal
        said, _ = process.communicate()  # returns when all processes have closed the pipe
        assert process.returncode == 130
    assert "of 2 runs are finished; the same command continues" in said
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    (out / "focal_gamma=0" / "seed-0" / "last.pt").write_bytes(b"damaged")
    failing = CliRunner().invoke(cli, words)
    assert failing.exit_code == 1
    assert "1 of 2 runs failed; the same command tries them again" in failing.output
    assert "focal_gamma=0/seed-0: " in failing.output
    (row,) = json.loads((out / "sweep.json").read_text())["combinations"]
    assert row["choice"] == {"train.focal_gamma": "2"}
    (out / "focal_gamma=0" / "seed-0" / "last.pt").unlink()
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    rows = json.loads((out / "sweep.json").read_text())["combinations"]
    assert sorted(one["name"] for one in rows) == ["focal_gamma=0", "focal_gamma=2"]
    for one in rows:
        (run,) = one["runs"]
        assert [one[key]["mean"] for key in SCORE] == [run[key] for key in SCORE]
        assert load_checkpoint(out / one["name"] / "seed-0").model.config.labels == tuple(MANNERS)


def test_without_ray_the_error_says_how_to_install_it(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it was not installed
    words = ["sweep", "smoke", "--data", str(sample), "--cache", str(sample.parent / "cache"), "--out", str(tmp_path)]
    refused = CliRunner().invoke(cli, [*words, "--backend", "ray"])
    assert refused.exit_code == 1
    assert "Ray is not installed: pip install 'cberl-engine[cluster]'" in refused.output
