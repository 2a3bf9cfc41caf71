"""CSV files as spreadsheet programs leave them."""

from pathlib import Path

import pytest

from cberl.data.check import check
from cberl.data.corpus import detect
from cberl.data.csv_rows import read_rows
from cberl.data.dialogue import DataError
from cberl.data.meld import read_meld

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"
ROW = '{text},Ross,joy,{dialogue},{utterance},"00:00:{start:02d},000","00:00:05,000"\n'


def meld(folder: Path, *rows: str, encoding: str = "utf-8") -> Path:
    (folder / "dev_sent_emo.csv").write_bytes((HEADER + "".join(rows)).encode(encoding))
    return folder


def row(text: str = "Hi", dialogue: object = 0, utterance: object = 0, start: int = 1) -> str:
    return ROW.format(text=text, dialogue=dialogue, utterance=utterance, start=start)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_text_of_a_spreadsheet_program_is_read(encoding: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (dialogue,) = read_meld(meld(tmp_path, row("Caf\u00e9"), row("He\u2019s", 0, 1), encoding=encoding), "dev")
    assert [line.text for line in dialogue.lines] == ["Caf\u00e9", "He's"]
    assert ("line 2: byte 0xe9 is not UTF-8: read as Windows-1252" in caplog.text) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("rows", "encoding", "message"),
    [
        ([row()], "utf-16", r"dev_sent_emo\.csv, line 1: not UTF-8, but perhaps UTF-16: save the file as UTF-8"),
        ([row()], "utf-16-le", r"line 1: not UTF-8, but perhaps UTF-16"),
        ([row(), row(utterance="1.0")], "utf-8", r"line 3: cannot read Utterance_ID '1\.0': it must be a whole number"),
        ([row(dialogue="0.0")], "utf-8", r"line 2: cannot read Dialogue_ID '0\.0': it must be a whole number"),
        ([row(), row(utterance=1), row("Ho")], "utf-8", r"line 4: cannot read its id \(0, 0\): line 2 has the same"),
        (["Hi,Ross\n"], "utf-8", r"line 2: cannot read"),
    ],
    ids=["utf-16", "utf-16 without BOM", "utterance id", "dialogue id", "same id", "short row"],
)
def test_what_cannot_be_read_is_a_sentence_with_file_and_line(
    rows: list[str], encoding: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_meld(meld(tmp_path, *rows, encoding=encoding), "dev")


def test_another_separator_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a;b\n1;2\n")
    with pytest.raises(DataError, match="a.csv has no column a, b: is it the official release, with commas"):
        list(read_rows(tmp_path / "a.csv", {"a", "b"}))


def test_an_utterance_that_ends_before_it_starts_is_a_problem(tmp_path: Path) -> None:
    report = check(detect(meld(tmp_path, row(), row(utterance=1, start=9))))
    assert [str(problem) for problem in report.problems] == [
        "dev: dialogue dev/0, utterance 2 ends at 5 s, before its start at 9 s"
    ]
