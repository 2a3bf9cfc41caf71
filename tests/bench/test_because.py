"""`bench/because.py` as a process, on a small corpus in RECCON's form."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAID = ("I have lost my keys.", "I found them on the table!", "Really?", "I am so happy, thank you!")


def test_rules_are_scored_on_turns_with_an_earlier_cause_only(tmp_path: Path) -> None:
    """The last turn was caused by the second, two turns back, by the same speaker, and by itself."""
    folder = tmp_path / "data" / "emotion_text"
    folder.mkdir(parents=True)
    with gzip.open(folder / "reccon.jsonl.gz", "wt") as file:
        for split, name in (("reccon_train", "a"), ("reccon_train", "b"), ("reccon_test", "c")):
            for turn, text in enumerate(SAID):
                label, cause = (
                    ("joy", [2, 4, "b"]) if turn == 3 else ("surprise", [3]) if turn == 2 else ("neutral", None)
                )
                row = {"dialogue": name, "turn": turn, "speaker": "AB"[turn % 2], "split": split, "text": text}
                file.write(json.dumps(row | {"meld": label, "cause": cause}) + "\n")
    command = [sys.executable, ROOT / "bench" / "because.py", "--json", "--rounds", "1", "--cache", str(tmp_path)]
    environment = os.environ | {"CBERL_SHARED": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["cases"], found["of_them_recognised"], found["training_cases_for_factors"]) == (1, 1, 1)
    scores = {row["rule"]: (row["recall_at_1"], row["mrr"]) for row in found["rules"]}
    assert scores["previous turn"] == (0, 50)
    assert scores["same speaker's previous turn"] == (100, 100)
    assert {"attention", "because (edges left out)", "edges and words left out"} <= scores.keys()
    assert found["cost"]["ratio"] > 1
