"""The user's own data: reading, and problems by file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from cberl.data.check import check_own
from cberl.data.corpus import detect, read_corpus
from cberl.data.dialogue import UNLABELLED, Clip, DataError
from testing.recordings import tone, write_wav

HEADER = 'name = "calls"\nlabels = ["neutral", "anger", "joy"]\n'


def utterance(conversation: str = "c1", start_s: float = 0.0, **more: Any) -> dict[str, Any]:
    base = {"conversation": conversation, "speaker": "a", "start_s": start_s, "end_s": start_s + 1, "text": "hello"}
    return base | more


def write(folder: Path, split: str, *rows: dict[str, Any] | str) -> Path:
    (folder / "corpus.toml").write_text(HEADER)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_good_folder(tmp_path: Path) -> None:
    write_wav(tmp_path / "media" / "c1.wav", tone(200, 5)[None].repeat(2, axis=0))
    write_wav(tmp_path / "media" / "one.wav", tone(200, 1)[None])
    write(
        tmp_path,
        "train",
        utterance(start_s=2.0, speaker="b", emotion="anger", media="media/c1.wav", channel=2),
        "",
        utterance(start_s=0.5, emotion="neutral", text="  Hi\n there "),
        utterance("c2", clip="media/one.wav", text="", emotion=None),
        utterance("c3", emotion="joy"),
        utterance(4, start_s=3),
    )
    write(tmp_path, "test", utterance("c9", emotion="joy"))
    report = check_own(tmp_path)
    assert report.problems == []
    assert "train.jsonl: there is no dev.jsonl: a tenth of its conversations is held out as dev" in map(
        str, report.warnings
    )

    corpus = detect(tmp_path)
    assert (corpus.name, corpus.labels, corpus.splits) == (
        "calls",
        ("neutral", "anger", "joy"),
        ("train", "dev", "test"),
    )
    train, dev = read_corpus(tmp_path, "train"), read_corpus(tmp_path, "dev")
    assert len(dev) == 1
    found = {one.id: one.lines for one in (*train, *dev)}
    assert set(found) == {"c1", "c2", "c3", "4"}
    assert [line.text for line in found["c1"]] == ["Hi there", "hello"]
    assert found["c1"][1].clip == Clip(tmp_path / "media" / "c1.wav", 2.0, 3.0, 2)
    assert found["c2"][0].clip == Clip(tmp_path / "media" / "one.wav")
    assert found["c2"][0].label == UNLABELLED
    assert report.splits["test"].classes == {"neutral": 0, "anger": 0, "joy": 1}


BAD = [
    ("{not json", "not JSON"),
    ("[1, 2]", "expected an object in braces"),
    (utterance(emotion="angre"), "unknown emotion 'angre': corpus.toml has neutral, anger, joy; did you mean 'anger'?"),
    (utterance(emotoin="joy"), "there is no field 'emotoin'; did you mean 'emotion'?"),
    ({"conversation": "c", "speaker": "a", "text": "x", "start_s": 1}, "end_s is missing"),
    (utterance(start_s=5, end_s=5), "end_s 5 must be after start_s 5"),
    (utterance(start_s=-1, end_s=2), "start_s should be greater than or equal to 0, not -1"),
    (utterance(end_s="two"), "end_s should be a valid number, not 'two'"),
    (utterance(text=""), "nothing to learn from"),
    (utterance(channel=1), "channel needs media"),
    (utterance(media="media/c.wav", clip="media/c.wav"), "not both"),
    (utterance(media="media/none.wav"), "none.wav is missing"),
    (utterance("m1", start_s=1.5, media="media/c.wav"), "end_s 2.5 is past the end of media/c.wav, which lasts 2.00 s"),
    (utterance("m2", media="media/c.wav", channel=2), "channel 2 of media/c.wav, which has 1"),
    (utterance("m3", clip="media/text.wav"), "cannot be read as media"),
    (utterance(media="/etc/hostname"), "'/etc/hostname' is outside"),
    (utterance(clip="media/../../c.wav"), "is outside"),
    (utterance(media="media/link.wav"), "'media/link.wav' is outside"),
    (utterance("kept"), "the same utterance as line 1"),
    (utterance("both"), "conversation 'both' is in train.jsonl too"),
]


def test_every_problem_is_reported_with_its_line(tmp_path: Path) -> None:
    write_wav(tmp_path / "media" / "c.wav", tone(200, 2)[None])
    (tmp_path / "media" / "text.wav").write_text("no sound")
    (tmp_path / "media" / "link.wav").symlink_to("/etc/hostname")
    write(tmp_path, "train", utterance("both"))
    write(tmp_path, "dev", utterance("kept"), *(row for row, _ in BAD))
    told = [str(one) for one in check_own(tmp_path).problems]
    assert len(told) == len(BAD)
    for number, (_, why) in enumerate(BAD, 2):
        here = [text for text in told if text.startswith(f"dev.jsonl, line {number}: ")]
        assert len(here) == 1, (number, why, told)
        assert why in here[0]
    with pytest.raises(DataError, match=r"has 16 problem\(s\):\n  dev.jsonl, line 2: not JSON(.|\n)*cberl data check"):
        read_corpus(tmp_path, "dev")  # does not open media: their problems are reported when they are read


def test_headers_and_missing_files(tmp_path: Path) -> None:
    def told() -> str:
        return "\n".join(map(str, check_own(tmp_path).problems))

    write(tmp_path, "train")
    (tmp_path / "train.jsonl").write_bytes(json.dumps(utterance(text="x")).encode() + b'\n{"text": "caf\xe9"}\n')
    assert told() == "train.jsonl, line 2: not UTF-8 at byte 14: save the file as UTF-8"
    for header, why in (
        ("name = ", "not readable as TOML"),
        ('name = "x"\n', "labels is missing"),
        ('name = "x"\nlabels = ["a", "a"]\n', "distinct"),
        ('name = "x"\nlabels = ["a", "b"]\nlable = 1\n', "there is no field 'lable'; did you mean 'labels'?"),
        ('name = "x"\nlabels = "a b"\n', "labels should be a valid list, not 'a b'"),
    ):
        (tmp_path / "corpus.toml").write_text(header)
        assert why in told()
        with pytest.raises(DataError, match="corpus.toml"):
            detect(tmp_path)
    (tmp_path / "corpus.toml").unlink()
    assert "corpus.toml: missing in" in told()
    (tmp_path / "train.jsonl").unlink()
    assert "needs one or more of train.jsonl, dev.jsonl, test.jsonl" in told()
    with pytest.raises(DataError, match="holds no supported corpus"):
        detect(tmp_path)


def test_what_is_unusual_but_allowed_is_a_warning(tmp_path: Path) -> None:
    write_wav(tmp_path / "one.wav", tone(200, 3)[None])
    write(tmp_path, "dev", utterance("d", emotion="joy"))
    write(
        tmp_path,
        "train",
        utterance(emotion="joy", end_s=2.0),
        utterance(start_s=1.0),
        utterance(start_s=1.5, speaker="b", emotion="neutral", clip="one.wav"),
    )
    (tmp_path / "notes.jsonl").write_text("{}\n")
    report = check_own(tmp_path)
    assert report.problems == []
    assert [str(one) for one in report.warnings] == [
        "corpus.toml: no training utterance has the label 'anger'",
        "notes.jsonl: not read: the files are train.jsonl, dev.jsonl and test.jsonl",
        "train.jsonl, line 2: a is still speaking in line 1",
        "train.jsonl, line 3: one.wav lasts 3.00 s, and start_s to end_s 1.00 s",
    ]
    train = report.splits["train"]
    assert (train.overlapping, train.unlabelled, train.without_audio, train.speech_s) == (2, 1, 2, 4.0)
