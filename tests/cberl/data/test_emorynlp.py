"""EmoryNLP's CSV files."""

from pathlib import Path

import pytest

from cberl.data.dialogue import DataError
from cberl.data.emorynlp import LABELS, read_emorynlp

HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"


def write(folder: Path, *rows: str) -> Path:
    (folder / "emorynlp_dev_final.csv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_a_tiny_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        'No!,"[\'Monica Geller\', ""Carol O\'Neill""]",Scared,1,3,2,15,00:00:05.171,00:00:07.423',
        "Coffee.,['Rachel Green'],Peaceful,1,1,2,15,00:00:03.795,00:00:05.004",
        "Hi.,['Rachel Green'],Joyful,1,1,2,16,01:00:03.795,01:00:05.004",
    )
    first, second = read_emorynlp(tmp_path, "dev")
    assert (first.id, second.id) == ("dev/s2e15c1", "dev/s2e16c1")
    assert [line.speaker for line in first.lines] == ["Rachel Green", "Monica Geller, Carol O'Neill"]
    assert [LABELS[line.label] for line in first.lines] == ["peaceful", "scared"]
    assert second.lines[0].start_s == pytest.approx(3603.795)


def test_problems_are_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="emorynlp_dev_final.csv is missing"):
        read_emorynlp(tmp_path, "dev")
    write(tmp_path, "Hi.,['A'],Bored,1,1,2,15,00:00:03.795,00:00:05.004")
    with pytest.raises(DataError, match="line 2"):
        read_emorynlp(tmp_path, "dev")
    write(tmp_path, "Hi.,[A,Joyful,1,1,2,15,00:00:03.795,00:00:05.004")
    with pytest.raises(DataError, match="line 2"):
        read_emorynlp(tmp_path, "dev")


def test_the_real_corpus(shared: Path) -> None:
    read = {split: read_emorynlp(shared / "data" / "emorynlp", split) for split in ("train", "dev", "test")}
    assert {split: len(some) for split, some in read.items()} == {"train": 659, "dev": 89, "test": 79}
    utterances = {split: sum(len(one.lines) for one in some) for split, some in read.items()}
    assert utterances == {"train": 7551, "dev": 954, "test": 984}
