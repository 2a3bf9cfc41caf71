"""A small release in the official layout, and the file with the whole corpus."""

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cberl.data.clips import encode_clips
from cberl.data.corpus import read_corpus
from cberl.data.dialogue import UNLABELLED, DataError
from cberl.data.iemocap import DEV, read_iemocap, read_iemocap_release, split_of
from cberl.encoders.prosody import prosody
from cberl.labels import IEMOCAP4, IEMOCAP6
from testing.recordings import audio_clip_encoder, tone, write_wav

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[7.5712 - 10.4750]\t{0}_M000\tfru\t[2.0000, 3.0000, 3.0000]
C-E2:\tFrustration;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[6.2901 - 8.2357]\t{0}_F000\tneu\t[2.5000, 2.5000, 2.5000]
[10.9266 - 14.6649]\t{0}_F001\texc\t[4.0000, 4.0000, 3.0000]
[15.0000 - 16.0000]\t{0}_M001\txxx\t[2.5000, 2.5000, 2.5000]
[17.0000 - 18.0000]\t{0}_M002\thap\t[4.5000, 3.5000, 3.0000]
"""
TRANSCRIPT = """{0}_F000 [006.2901-008.2357]: Excuse me.
{0}_M000 [007.5712-010.4750]: Do you have your forms?
M: Somebody who is not evaluated.
{0}_F001 [010.9266-014.6649]: [LAUGHTER] Yeah.
{0}_MXX0 [014.9000-014.9500]: Mm.
{0}_M001 [015.0000-016.0000]: Let me see: them.
"""


def release(folder: Path, *dialogues: str) -> Path:
    for name in dialogues:
        session = folder / f"Session{name[4]}"
        for place, text in (("EmoEvaluation", EVALUATION), ("transcriptions", TRANSCRIPT)):
            path = session / "dialog" / place / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(name))
        (session / "dialog" / "EmoEvaluation" / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")
    return folder


def test_a_tiny_release(tmp_path: Path) -> None:
    release(tmp_path, "Ses01F_impro01", "Ses01M_impro01", "Ses05M_script01_1b")
    (train,) = read_iemocap_release(tmp_path, "train")
    assert train.id == "Ses01F_impro01"
    assert [line.speaker for line in train.lines] == ["Ses01F", "Ses01M", "Ses01F", "Ses01M", "Ses01M"]
    assert [line.text for line in train.lines] == [
        "Excuse me.",
        "Do you have your forms?",
        "[LAUGHTER] Yeah.",
        "Let me see: them.",
        "",
    ]
    six = [None if line.label == UNLABELLED else IEMOCAP6[line.label] for line in train.lines]
    assert six == ["neutral", "frustration", "excitement", None, "happiness"]
    four = read_iemocap_release(tmp_path, "train", classes=4)[0].lines
    assert [None if line.label == UNLABELLED else IEMOCAP4[line.label] for line in four] == [
        "neutral",
        None,
        "happiness",
        None,
        "happiness",
    ]
    assert [one.id for split in ("dev", "test") for one in read_iemocap_release(tmp_path, split)] == [
        "Ses01M_impro01",
        "Ses05M_script01_1b",
    ]
    assert train.lines[0].clip is None
    assert [line.label for line in read_corpus(tmp_path, "train", classes=4)[0].lines] == [line.label for line in four]


def test_recordings_of_utterances_are_encoded(tmp_path: Path) -> None:
    release(tmp_path, "Ses02F_impro01")
    sounds = tmp_path / "Session2" / "sentences" / "wav" / "Ses02F_impro01"
    for name in ("F000", "M000", "F001", "M001"):
        write_wav(sounds / f"Ses02F_impro01_{name}.wav", tone(180, 0.6)[None])
    (one,), problems = encode_clips(
        read_iemocap_release(tmp_path, "train"), audio_clip_encoder(prosody, "p"), tmp_path / "cache"
    )
    assert [line.prosody is not None for line in one.lines] == [True] * 4 + [False]
    assert one.lines[0].prosody is not None
    assert one.lines[0].prosody[3] == pytest.approx(180, rel=0.02)
    assert problems == [f"{sounds / 'Ses02F_impro01_M002.wav'} is missing"]


def test_problems_of_a_release_are_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no dialog/EmoEvaluation"):
        read_iemocap_release(tmp_path, "train")
    release(tmp_path, "Ses01F_impro01")
    path = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    for broken, why in (("\tfru\t", r"\tbored\t"), ("[7.5712 - 10.4750]", "[7.5712 + 10.4750]")):
        path.write_text(EVALUATION.format("Ses01F_impro01").replace(broken, why.replace(r"\t", "\t")))
        with pytest.raises(
            DataError, match=r"Ses01F_impro01.txt, line 3: (.bored. is not an emotion|expected \[start)"
        ):
            read_iemocap_release(tmp_path, "train")
    (tmp_path / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro01.txt").unlink()
    with pytest.raises(DataError, match="transcriptions.*is missing"):
        read_iemocap_release(tmp_path, "train")


def test_problems_of_the_file_are_named_by_line(tmp_path: Path) -> None:
    good = {"dialogue": "Ses01F_impro01", "speaker": "Ses01F", "start": 1, "end": 2, "text": "x", "audio": None}
    for bad in (good, good | {"label6": 6}, good | {"label6": 0, "start": "soon"}):
        with gzip.open(tmp_path / "text_prosody.jsonl.gz", "wt") as file:
            file.write(json.dumps(good | {"label6": None}) + "\n" + json.dumps(bad) + "\n")
        with pytest.raises(DataError, match="line 2"):
            read_iemocap(tmp_path, "train")


def test_the_whole_corpus(shared: Path) -> None:
    folder = shared / "data" / "iemocap"
    splits = {split: read_iemocap(folder, split) for split in ("train", "dev", "test")}
    utterances = {split: sum(len(one.lines) for one in some) for split, some in splits.items()}
    assert utterances == {"train": 6994, "dev": 875, "test": 2170}
    assert {split: len(some) for split, some in splits.items()} == {"train": 108, "dev": 12, "test": 31}
    lines = [line for some in splits.values() for one in some for line in one.lines]
    six = Counter(IEMOCAP6[line.label] for line in lines if line.label != UNLABELLED)
    assert sum(six.values()) == 7433
    assert six["happiness"] == 648
    four = [line for split in splits for one in read_iemocap(folder, split, 4) for line in one.lines]
    assert sum(line.label != UNLABELLED for line in four) == 5531
    for one in (one for some in splits.values() for one in some):
        starts = [line.start_s for line in one.lines]
        assert starts == sorted(starts)
        assert len({line.speaker for line in one.lines}) <= 2
    assert any(line.prosody is not None and np.isnan(line.prosody[3]) for line in lines)
    with gzip.open(folder / "text_prosody.jsonl.gz", "rt") as file:
        rows = [json.loads(text) for text in file]
    assert all(split_of(row["dialogue"]) == row["split"].replace("valid", "dev") for row in rows)
    assert {row["dialogue"] for row in rows} >= DEV
