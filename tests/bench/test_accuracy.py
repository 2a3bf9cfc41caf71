"""The benches of accuracy as processes, on a small corpus of labelled text."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cberl.checkpoint_files import STARTER

ROOT = Path(__file__).parents[2]
SAID = {
    "joy": ("I am so happy today!", "This is wonderful, thank you!"),
    "anger": ("I hate you, get out!", "How dare you do this to me!"),
    "neutral": ("The meeting is at nine.", "It is in the second drawer."),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty dialogues of four turns by two speakers; the second turn of each speaker has the label of the first."""
    path = tmp_path_factory.mktemp("corpus") / "small.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for dialogue in range(60):
            kinds = [list(SAID)[(dialogue + person) % 3] for person in (0, 1)]
            for turn in range(4):
                kind = kinds[turn % 2]
                row = {"dialogue": dialogue, "turn": turn, "speaker": "AB"[turn % 2], "meld": kind}
                file.write(json.dumps(row | {"text": SAID[kind][turn // 2]}) + "\n")
    return path


def bench(name: str, *arguments: object) -> Any:
    command = [sys.executable, ROOT / "bench" / name, *map(str, arguments), "--threads", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_corpus_is_scored_also_with_the_labels_of_another_set(corpus: Path, tmp_path: Path) -> None:
    emorynlp = tmp_path / "emorynlp"
    emorynlp.mkdir()
    said = [
        ("Monica", "joyful", "joy"),
        ("Ross", "mad", "anger"),
        ("Monica", "powerful", "joy"),
        ("Ross", "neutral", "neutral"),
    ]
    lines = [
        f'"{SAID[like][n % 2]}","[\'{who}\']",{label},0,{n},1,1,"00:00:0{n},000","00:00:0{n},900"'
        for n, (who, label, like) in enumerate(said)
    ]
    header = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time"
    (emorynlp / "emorynlp_dev_final.csv").write_text("\n".join([header, *lines]) + "\n")
    found = bench("corpora.py", STARTER, "--data", corpus, "--data", emorynlp, "--cache", tmp_path)["corpora"]
    assert set(found) == {"small", "EmoryNLP"}
    assert found["small"]["macro_f1"]["mean"] > 80
    assert found["EmoryNLP"]["seeds"] == 1
    assert found["EmoryNLP"]["macro_f1_interval"] == [100, 100]
    low, high = found["small"]["macro_f1_interval"]
    assert low <= found["small"]["macro_f1"]["mean"] <= high
    assert found["EmoryNLP"]["macro_f1"]["mean"] == 100  # of joy, anger and neutral; powerful has no counterpart


def test_a_prior_per_speaker_is_tried_with_each_weight(corpus: Path, tmp_path: Path) -> None:
    found = bench("person_prior.py", STARTER, "--data", corpus, "--cache", tmp_path)["small"]
    plain = bench("corpora.py", STARTER, "--data", corpus, "--cache", tmp_path)["corpora"]["small"]
    assert found["0.0"][1] == pytest.approx(
        plain["macro_f1"]["mean"], abs=1.0
    )  # without logit adjustment it may differ
    assert list(map(float, found)) == sorted(map(float, found))


def test_the_next_emotion_of_a_speaker_who_always_feels_the_same_is_found(corpus: Path, tmp_path: Path) -> None:
    found = bench("forecast.py", "--data", corpus, "--seeds", 1, "--cache", tmp_path)
    macro_f1 = {name: macro for name, [(_, macro, _)] in found.items()}
    assert macro_f1["a head on shifted labels"] == macro_f1["the same again"] == 100
    assert macro_f1["frequencies"] < 50
    cross_entropy = {name: nats for name, [(_, _, nats)] in found.items()}
    assert cross_entropy["the same again"] < 0.5 < 1 < cross_entropy["frequencies"]


def test_a_corpus_beside_the_first_is_compared_with_the_first_alone(tmp_path: Path) -> None:
    given = [tmp_path / f"{name}.jsonl.gz" for name in ("first", "other", "kept")]
    for number, path in enumerate(given):
        with gzip.open(path, "wt") as file:
            for dialogue in range(40):
                kind = list(SAID)[dialogue % 3]
                row = {"dialogue": dialogue, "turn": 0, "speaker": "A", "meld": kind}
                file.write(json.dumps(row | {"text": f"{SAID[kind][dialogue % 2]} {number * 40 + dialogue}"}) + "\n")
    first, other, kept = given
    asked = ("--data", first, "--also", other, "--held-out", kept, "--class-cap", 6, "--seeds", 1, "--out", tmp_path)
    found = bench("text_corpora.py", *asked)
    assert {name: set(row) for name, row in found["corpora"].items()} == dict.fromkeys(("", "other"), {"first", "kept"})
    assert found["corpora"]["other"]["kept"]["macro_f1"][0] > 20
    assert bench("text_corpora.py", *asked) == found  # from its files
