"""Labelled text in one file: single sentences and conversations."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cberl.data.corpus import detect
from cberl.data.dialogue import UNLABELLED, DataError, Line
from cberl.labels import MELD


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "lines.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def lines(path: Path) -> dict[str, Line]:
    corpus = detect(path)
    return {line.text: line for split in corpus.splits for one in corpus.read(split) for line in one.lines}


def test_sentences_have_a_label_or_shares_of_several(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"id": "1", "text": "I\u2019m  scared.", "meld": "fear"},
        {"id": "2", "text": "How dare you!", "meld": ["anger", "disgust"]},
        {"id": "3", "text": "Hm.", "meld": None},
        {"id": "4", "text": "Well.", "meld": "neutral", "votes": "3110000"},
    )
    found = lines(path)
    assert found["I'm scared."].label == MELD.index("fear")
    both = found["How dare you!"]
    assert (both.label, both.shares and both.shares[MELD.index("disgust")]) == (UNLABELLED, 0.5)
    assert (found["Hm."].label, found["Hm."].shares) == (UNLABELLED, None)
    assert dict(zip(MELD, found["Well."].shares or (), strict=True)) == pytest.approx(
        {name: {"neutral": 0.6, "joy": 0.2, "sadness": 0.2}.get(name, 0.0) for name in MELD}
    )


def test_turns_are_in_order_and_a_dialogue_is_in_one_split(tmp_path: Path) -> None:
    rows = [
        {"dialogue": f"d{number}", "turn": turn, "speaker": "AB"[turn % 2], "text": f"{number} {turn}", "meld": "joy"}
        for number in range(40)
        for turn in (2, 0, 1)
    ]
    corpus = detect(write(tmp_path, *rows))
    splits = {split: corpus.read(split) for split in corpus.splits}
    assert {split: len(dialogues) for split, dialogues in splits.items()} == {"train": 32, "dev": 4, "test": 4}
    for dialogues in splits.values():
        for one in dialogues:
            number = one.id.partition("/d")[2]
            assert [(line.speaker, line.text) for line in one.lines] == [
                ("A", f"{number} 0"), ("B", f"{number} 1"), ("A", f"{number} 2")
            ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": "a", "meld": "shame"}, "line 2: cannot read the label 'shame'"),
        ({"text": None, "meld": "joy"}, "line 2: cannot read"),
        ({"text": "a", "meld": "joy", "votes": "5"}, "line 2: cannot read"),
        ({"text": "a", "meld": "joy", "dialogue": "x", "turn": 0}, "line 2: cannot read turn 0 of dialogue x"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write(tmp_path, {"dialogue": "x", "turn": 0, "text": "fine", "meld": "joy"}, row)
    with pytest.raises(DataError, match=problem):
        detect(path).read("train")


@pytest.mark.parametrize(
    ("name", "texts"),
    [("xed_en", 27_180), ("goemotions", 54_263), ("isear", 7_500), ("dailydialog", 25_020), ("emotionpush", 14_742),
     ("empathetic", 16_674), ("dair_emotion", 20_000), ("ec_en", 7_724), ("topicalchat_eval", 46_903),
     ("reccon", 11_104)],
)  # fmt: skip
def test_published_files_are_read_whole(shared: Path, name: str, texts: int) -> None:
    corpus = detect(shared / "data" / "emotion_text" / f"{name}.jsonl.gz")
    assert sum(len(one.lines) for split in corpus.splits for one in corpus.read(split)) == texts
