"""The official CSV layout: a small release, and the real one."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cberl.data.clips import encode_clips
from cberl.data.corpus import detect
from cberl.data.dialogue import DataError
from cberl.data.meld import VOTES_FILE, clean_text, read_meld
from cberl.encoders.prosody import prosody
from cberl.labels import MELD
from testing.recordings import audio_clip_encoder, tone, write_mp4, write_wav

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def write(folder: Path, *rows: str) -> Path:
    (folder / "dev_sent_emo.csv").write_text(HEADER + "".join(row + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_tiny_release(tmp_path: Path) -> None:
    write(
        tmp_path,
        '1,"Oh my God, he\u2019s lost it\x85",Ross,surprise,negative,0,1,1,1,"00:00:05,500","00:00:07,250"',
        '2,Hi.,Rachel,neutral,neutral,0,0,1,1,"00:00:01,000","00:00:02,000"',
        '3,Hey!,Joey,joy,positive,7,0,1,1,"01:02:03,004","01:02:04,000"',
    )
    first, second = read_meld(tmp_path, "dev")
    assert (first.id, second.id) == ("dev/0", "dev/7")
    assert [line.text for line in first.lines] == ["Hi.", "Oh my God, he's lost it..."]
    assert MELD[first.lines[1].label] == "surprise"
    assert second.lines[0].start_s == pytest.approx(3723.004)
    assert second.lines[0].prosody is None


def test_votes_beside_the_release_are_shares_of_train(tmp_path: Path) -> None:
    row = '1,Hi.,Ross,joy,positive,4,7,1,1,"00:00:01,000","00:00:02,000"'
    write(tmp_path, row)
    shutil.copy(tmp_path / "dev_sent_emo.csv", tmp_path / "train_sent_emo.csv")
    votes = dict.fromkeys(MELD, 0) | {"joy": 4, "surprise": 1}
    with gzip.open(tmp_path / VOTES_FILE, "wt") as file:
        file.write(json.dumps({"dialogue": 4, "utt": 7, "votes": votes}) + "\n")
    (train,), (dev,) = read_meld(tmp_path, "train"), read_meld(tmp_path, "dev")
    shares = dict(zip(MELD, train.lines[0].shares or (), strict=True))
    assert (train.lines[0].label, shares["joy"], shares["surprise"]) == (MELD.index("joy"), 0.8, 0.2)
    assert dev.lines[0].shares is None
    assert tmp_path / VOTES_FILE in detect(tmp_path).files
    with gzip.open(tmp_path / VOTES_FILE, "wt") as file:
        file.write(json.dumps({"dialogue": 4, "utt": 7, "votes": {"joy": 5}}) + "\n")
    with pytest.raises(DataError, match=f"{VOTES_FILE}, line 1"):
        read_meld(tmp_path, "train")


def test_problems_are_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dev_sent_emo.csv is missing"):
        read_meld(tmp_path, "dev")
    write(tmp_path, '1,Hi,Ross,bored,neutral,0,0,1,1,"00:00:05,500","00:00:07,250"')
    with pytest.raises(DataError, match="line 2"):
        read_meld(tmp_path, "dev")
    (tmp_path / "dev_sent_emo.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="has no column Dialogue_ID"):
        read_meld(tmp_path, "dev")


def test_the_real_corpus(meld: Path) -> None:
    counts = {split: [len(one.lines) for one in read_meld(meld, split)] for split in ("train", "dev", "test")}
    assert {split: sum(lengths) for split, lengths in counts.items()} == {"train": 9989, "dev": 1109, "test": 2610}
    lines = [line for one in read_meld(meld, "test") for line in one.lines]
    assert sum(line.prosody is not None for line in lines) > 2600
    assert all(line.prosody is None or np.isfinite(line.prosody[0]) for line in lines)
    assert not any(ord(character) in (0x92, 0x2019) for line in lines for character in line.text)


def test_clean_text() -> None:
    assert clean_text("Joey\x92s  \u201cplan\u201d \u2014 no\xa0way") == 'Joey\'s "plan" - no way'


def test_clips_of_the_release_are_encoded(tmp_path: Path) -> None:
    rows = [f'{n},Hi,Ross,joy,positive,0,{n},1,1,"00:00:0{n},000","00:00:0{n},900"' for n in range(4)]
    write(tmp_path, *rows)
    media = tmp_path / "dev" / "dev_splits_complete"
    for n, hz in ((0, 150), (1, 240)):
        write_mp4(media / f"dia0_utt{n}.mp4", tone(hz, 1.0))
    write_wav(media / "dia0_utt2.wav", tone(300, 0.5)[None])
    (media / "._dia0_utt0.mp4").write_bytes(b"left by another system")
    dialogues, problems = encode_clips(read_meld(tmp_path, "dev"), audio_clip_encoder(prosody, "p"), tmp_path / "cache")
    heard = [line.prosody for line in dialogues[0].lines]
    assert heard[0] is not None
    assert heard[1] is not None
    assert heard[0][3] == pytest.approx(150, rel=0.02)
    assert heard[1][3] == pytest.approx(240, rel=0.02)
    assert heard[2] is not None
    assert heard[2][0] == pytest.approx(0.5, abs=0.01)
    assert heard[3] is None
    assert problems == [f"{media / 'dia0_utt3.mp4'} is missing"]
