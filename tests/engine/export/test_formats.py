"""Every format opens in a reader of others, and has what was exported."""

import csv
import io
import json
from pathlib import Path

import pandas
import parselmouth
import pympi
import pytest
import srt
import textgrid
import webvtt

from engine.delivery.wire import encode
from engine.export.conversation import ExportedConversation, exported_conversation
from engine.export.formats import FORMATS, ExportError, format_of
from testing.events import emotion

SAID = 'A "quoted", <b>bold</b> & long line --> with\nå\x01 🎉'
ON_ONE_LINE = 'A "quoted", <b>bold</b> & long line --> with å 🎉'


def conversation(name: str = "demo") -> ExportedConversation:
    """maya, tom and maya; the last two turns overlap, the first was corrected, the second has no words."""
    events = [
        emotion(3, "maya", emotion="anger", start_s=3661.5, end_s=3663.25, text="=1+1"),
        emotion(1, "guest", text="wrong"),
        emotion(2, "tom", emotion="joy", start_s=4.0, end_s=4.0, text=None, uncertain=True),
        emotion(4, "maya", emotion="neutral", start_s=3663.0, end_s=3664.0, text="No.", vocal_events=("laughter",)),
        emotion(1, "maya", text=SAID, utterance="demo/guest/1", status="corrected", revision=1),
        emotion(9, "maya", status="interim"),
    ]
    messages = [encode(event, seq) for seq, event in enumerate(events, 1)]
    return exported_conversation(name, messages, media="/recordings/a talk.wav")


def written(name: str, tmp_path: Path) -> Path:
    path = tmp_path / f"talk{FORMATS[name].suffixes[0]}"
    path.write_text(FORMATS[name].write([conversation()]), encoding="utf-8", newline="")
    return path


def test_each_turn_is_there_once_in_its_latest_revision() -> None:
    assert [(it.speaker, it.status, it.start_s) for it in conversation().events] == [
        ("maya", "corrected", 2.0), ("tom", "final", 4.0), ("maya", "final", 3661.5), ("maya", "final", 3663.0),
    ]  # fmt: skip


def test_json_lines_and_csv_hold_several_conversations(tmp_path: Path) -> None:
    lines = FORMATS["jsonl"].write([conversation("a"), conversation("b")]).splitlines()
    assert [json.loads(line)["text"] for line in lines[:4]] == [SAID, None, "=1+1", "No."]
    assert len(lines) == 8
    table = pandas.read_csv(io.StringIO(FORMATS["csv"].write([conversation("a"), conversation("b")])))
    assert (table.shape[0], list(table.columns[-4:])) == (8, ["session", "p_neutral", "p_joy", "p_anger"])
    assert table["text"].tolist()[:1] == [ON_ONE_LINE]
    assert table["uncertain"].tolist()[:4] == [False, True, False, False]
    assert table["p_anger"].isna().tolist()[:4] == [True, True, False, True]
    assert next(csv.reader(io.StringIO(FORMATS["csv"].write([]))))[0] == "conversation"


def test_webvtt_has_speakers_as_voices_and_emotions_as_classes(tmp_path: Path) -> None:
    cues = list(webvtt.read(str(written("vtt", tmp_path))))
    assert [(cue.identifier, cue.start, cue.voice) for cue in cues][:2] == [
        ("demo/guest/1", "00:00:02.000", "maya"), ("demo/tom/2", "00:00:04.000", "tom"),
    ]  # fmt: skip
    assert cues[0].raw_text.startswith("<v.joy maya>A")
    assert cues[1].raw_text == "<v.joy.uncertain tom>[joy]</v>"
    assert (cues[1].end, cues[3].start) == ("00:00:04.001", "01:01:03.000")


def test_srt_has_speaker_emotion_and_words(tmp_path: Path) -> None:
    first, second, *_, last = srt.parse(written("srt", tmp_path).read_text(encoding="utf-8"))
    assert (first.content, second.content) == (f"maya [joy]: {ON_ONE_LINE}", "tom [joy]")
    assert (last.start.total_seconds(), last.index) == (3663.0, 4)


def test_praat_and_a_parser_of_textgrids_read_two_tiers_per_speaker(tmp_path: Path) -> None:
    path = written("textgrid", tmp_path)
    tiers = textgrid.TextGrid.fromFile(str(path)).tiers
    assert [it.name for it in tiers] == ["maya", "maya/emotion", "tom", "tom/emotion"]
    spoken = [(it.minTime, it.maxTime, it.mark) for it in tiers[0] if it.mark]
    assert spoken == [(2.0, 3.0, ON_ONE_LINE), (3661.5, 3663.25, "=1+1"), (3663.25, 3664.0, "No.")]
    assert [it.mark for it in tiers[1] if it.mark] == ["joy", "anger", "neutral"]
    praat = parselmouth.read(str(path))
    assert parselmouth.praat.call(praat, "Get number of tiers") == 4
    assert parselmouth.praat.call(praat, "Get label of interval", 1, 2) == ON_ONE_LINE
    assert parselmouth.praat.call(praat, "Get label of interval", 2, 2) == "joy"


@pytest.mark.filterwarnings("ignore:Parsing unknown version of ELAN spec")
def test_elan_files_have_emotions_on_the_turns_of_each_speaker(tmp_path: Path) -> None:
    elan = pympi.Elan.Eaf(str(written("eaf", tmp_path)))
    assert list(elan.get_tier_names()) == [f"{who}{what}" for who in ("maya", "tom") for what in TIERS]
    assert elan.get_annotation_data_for_tier("maya")[0] == (2000, 3000, ON_ONE_LINE)
    assert [it[:3] for it in elan.get_ref_annotation_data_for_tier("maya/emotion")] == [
        (2000, 3000, "joy"), (3661500, 3663250, "anger"), (3663250, 3664000, "neutral"),
    ]  # fmt: skip
    assert elan.get_parameters_for_tier("tom")["PARTICIPANT"] == "tom"
    assert elan.get_linked_files()[0]["MEDIA_URL"] == "file:///recordings/a%20talk.wav"


TIERS = ("", "/emotion", "/confidence")


@pytest.mark.parametrize("name", FORMATS)
def test_a_conversation_without_turns_can_be_written(name: str) -> None:
    text = FORMATS[name].write([exported_conversation("empty", [])])
    if name == "textgrid":
        assert "size = 0" in text
    elif name == "srt":
        assert list(srt.parse(text)) == []


def test_the_suffix_names_the_format() -> None:
    assert format_of(Path("a/b.textgrid")).name == "textgrid"
    assert format_of(Path("b.HTM")).name == "html"
    with pytest.raises(ExportError, match=r"b\.doc: the suffix names no format: use one of \.jsonl, "):
        format_of(Path("b.doc"))
