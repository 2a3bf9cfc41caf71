"""Corpora, feature files and recordings from others, which training reads. The only refusal is `DataError`."""

import gzip
import io
import json
import pickle
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cberl.data import iemocap, meld, own
from cberl.data.acted_speech import read_vocalisations
from cberl.data.corpus import detect
from cberl.data.dialogue import DataError
from cberl.data.fer2013 import read_fer2013
from cberl.data.plain_pickle import load_plain
from cberl.data.sdt import read_sdt
from cberl.data.sound import decode, probe
from testing.corpora import make_fer2013
from testing.fuzz.runner import Inputs, target

MELD = (
    b"Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    b'1,"also I was the point person, \xc2\x92",Chandler,neutral,neutral,0,0,8,21,"00:16:16,059","00:16:21,731"\n'
    b"2,You must have,The Interviewer,surprise,positive,0,1,8,21,00:16:21.940,00:16:23.442\n"
    b"3,Hm,Joey,joy,positive,1,0,8,21,0:1:2,0:1:3\n"
)
EMORY = (
    b"Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
    b'"Hi","[\'Monica Geller\', \'Joey\']",Neutral,1,1,1,1,"00:00:01,5","00:00:02,0"\n'
    b"Oh,['Ross'],Mad,1,2,1,1,00:00:03,00:00:04\n"
)
EVALUATION = (
    b"% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    b"[6.2901 - 8.2357]\tSes05F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n"
    b"[10.0100 - 11.3925]\tSes05F_impro01_M001\texc\t[3.0, 2.0, 2.5]\n"
)
TRANSCRIPT = b"Ses05F_impro01_F000 [006.2901-008.2357]: Excuse me.\nSes05F_impro01_M001 [010.0100-011.3925]: Do you\n"
ROW = {"conversation": "c1", "speaker": "a", "start_s": 0.0, "end_s": 1.5, "text": "Hi.", "emotion": "joy"}
SEPARATOR = b"\n~file~\n"  # between files of one case


def _file(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    path.parent.mkdir(parents=True, exist_ok=True)

    def parse(data: bytes) -> None:
        path.write_bytes(data)
        read()

    return parse


@target(6)
def meld_csv(folder: Path) -> Iterator[Inputs]:
    parse = _file(folder / "test_sent_emo.csv", lambda: detect(folder).read("test"))
    yield Inputs([MELD], parse, (DataError,), [b'"', b",", b"\n", b":", b"00:00:01,0", b"\xff\xfe"])


@target(6)
def emorynlp_csv(folder: Path) -> Iterator[Inputs]:
    parse = _file(folder / "emorynlp_test_final.csv", lambda: detect(folder).read("test"))
    yield Inputs([EMORY], parse, (DataError,), [b'"', b"[", b"]", b"'", b"(", b"{", b"-", b"__import__('os')"])


def _lines(folder: Path, name: str, read: Callable[[], object]) -> Callable[[bytes], None]:
    """Case by case, its bytes compressed; sometimes the compressed bytes are the case."""

    def parse(data: bytes) -> None:
        (folder / name).write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1, mtime=0))
        read()

    return parse


@target(6)
def iemocap_lines(folder: Path) -> Iterator[Inputs]:
    row = {"dialogue": "Ses05F_impro01", "utt": "Ses05F_impro01_F000", "speaker": "Ses05F", "text": "Hi.", "start": 1.0,
           "end": 2.0, "label6": 1, "label4": None, "audio": [0.0, None] * 4}  # fmt: skip
    line = json.dumps(row).encode()
    parse = _lines(folder, iemocap.FILE, lambda: iemocap.read_iemocap(folder, "test"))
    yield Inputs([line, line + b"\n" + line, gzip.compress(line, mtime=0)], parse, (DataError,), [b"\n", line])


@target(5)
def corpus_detection(folder: Path) -> Iterator[Inputs]:
    """Which corpus the file of that name is."""
    line = json.dumps({"dialogue": "a", "label6": 1}).encode()
    yield Inputs([line], _lines(folder, iemocap.FILE, lambda: detect(folder)), (DataError,))


@target(5)
def meld_prosody(folder: Path) -> Iterator[Inputs]:
    (folder / "test_sent_emo.csv").write_bytes(MELD)
    line = json.dumps({"split": "test", "utt": "dia0_utt0", "audio": [0.0, None] * 4}).encode()
    parse = _lines(folder, meld.PROSODY_FILE, lambda: meld.read_meld(folder, "test"))
    yield Inputs([line, line + b"\n" + line, gzip.compress(line, mtime=0)], parse, (DataError,), [b"\n"])


@target(4)
def iemocap_release(folder: Path) -> Iterator[Inputs]:
    dialog = folder / "Session5" / "dialog"
    evaluation, transcript = dialog / "EmoEvaluation/Ses05F_impro01.txt", dialog / "transcriptions/Ses05F_impro01.txt"
    for path in (evaluation, transcript):
        path.parent.mkdir(parents=True)

    def parse(data: bytes) -> None:
        first, _, second = data.partition(SEPARATOR)
        evaluation.write_bytes(first)
        transcript.write_bytes(second)
        detect(folder).read("test")

    tokens = [SEPARATOR, b"[", b"]", b" - ", b"xxx", b"...", b"1.2.3"]
    yield Inputs([EVALUATION + SEPARATOR + TRANSCRIPT], parse, (DataError,), tokens)


@target(6)
def own_corpora(folder: Path) -> Iterator[Inputs]:
    """`corpus.toml` and `test.jsonl`."""
    header, rows = folder / own.HEADER, folder / "test.jsonl"
    one = json.dumps(ROW).encode()
    two = json.dumps(ROW | {"media": "a.wav", "channel": 2, "start_s": 2, "end_s": 3}).encode()

    def parse(data: bytes) -> None:
        first, _, second = data.partition(SEPARATOR)
        header.write_bytes(first)
        rows.write_bytes(second)
        detect(folder).read("test")

    toml = b'name = "mine"\nlabels = ["joy", "anger"]\n'
    tokens = [SEPARATOR, b'"media": "../../x"', b'"clip": "\\u0000"', b"\n", b"[" * 2000, b"a = " + b"[" * 2000]
    yield Inputs([toml + SEPARATOR + one + b"\n" + two], parse, (DataError,), tokens)


@target(8)
def own_rows(folder: Path) -> Iterator[Inputs]:
    (folder / own.HEADER).write_bytes(b'name = "mine"\nlabels = ["joy", "anger"]\n')
    parse = _file(folder / "test.jsonl", lambda: own.read_own(folder, "test"))
    seeds = [json.dumps(ROW | more).encode() for more in ({}, {"clip": "a.wav"}, {"media": "a.wav", "channel": 1})]
    yield Inputs(seeds, parse, (DataError,))


@target(5)
def vocalisation_indexes(folder: Path) -> Iterator[Inputs]:
    _wav(folder / "laughing_1.wav")
    parse = _file(folder / "index.jsonl", lambda: read_vocalisations(folder))
    row = {"file": "laughing_1.wav", "label": "laughing", "speaker": "a"}
    yield Inputs([json.dumps(row).encode()], parse, (DataError,))


@target(20)
def pickles(folder: Path) -> Iterator[Inputs]:
    path = folder / "features.pkl"
    data = {"a": [1, 2.5, "x", b"y", None, True, (1,), {2}], "b": np.ones((2, 3), np.float32), "c": np.float64(2)}
    seeds = [pickle.dumps(data, protocol) for protocol in (0, 2, 4, 5)]
    seeds.append(pickle.dumps(np.array(["a", None], dtype=object), 2))
    tokens = [b"c__builtin__\neval\n", b"cos\nsystem\n", b"R", b"b", b".", b"}", b"]", b"(", b"\x93", b"\x81", b"q\x00"]
    yield Inputs(seeds, _file(path, lambda: load_plain(path)), (DataError,), tokens)


@target(6)
def feature_pickles(folder: Path) -> Iterator[Inputs]:
    names = [f"d{n}" for n in range(6)]
    vectors = np.ones((2, 2), np.float32)
    columns = (["u1", "u2"], ["M", "F"], [0, 1], vectors, vectors, vectors, ["a", "b"])
    tables = [dict.fromkeys(names, column) for column in columns]
    path = folder / "features.pkl"
    seeds = [pickle.dumps((*tables, names[:4], names[4:]), protocol) for protocol in (0, 2)]
    yield Inputs(seeds, _file(path, lambda: read_sdt(path)), (DataError,), [b"d0", b"M", b"\x00"])


@target(4)
def picture_sets(folder: Path) -> Iterator[Inputs]:
    path = folder / "fer2013.npz"
    make_fer2013(path)
    whole = np.load(path)
    jpeg, offsets = whole["jpeg"], whole["offsets"]
    few = io.BytesIO()
    rows = {
        "usage": whole["usage"][:4],
        "label": whole["label"][:4],
        "usages": whole["usages"],
        "labels": whole["labels"],
    }
    np.savez(few, jpeg=jpeg[: offsets[4]], offsets=offsets[:5], **rows)
    parse = _file(path, lambda: read_fer2013(path, "Training"))
    yield Inputs(
        [few.getvalue()], parse, (DataError,), [b"PK\x03\x04", b"PK\x01\x02", b"'descr'", b"'shape': (", b"|O"]
    )


def _wav(path: Path) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.sin(np.arange(800)) * 9000).astype("<i2").tobytes())
    return path.read_bytes()


@target(1)
def recordings(folder: Path) -> Iterator[Inputs]:
    path = folder / "clip.wav"

    def read() -> None:
        probe(path)
        total = 0
        for piece in decode(path):
            total += len(piece)
            if total > 16_000 * 600:  # a header may promise hours of silence; a reader decides how much it takes
                return

    yield Inputs([_wav(path)], _file(path, read), (DataError,), [b"RIFF", b"WAVE", b"fmt ", b"data", b"LIST"])
