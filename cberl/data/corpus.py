"""Detects the corpus in a folder or a file and reads its dialogues."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cberl.data import emorynlp, iemocap, own
from cberl.data.dialogue import SPLITS, DataError, Dialogue
from cberl.data.emorynlp import read_emorynlp
from cberl.data.emotion_text import is_emotion_text, read_emotion_text
from cberl.data.iemocap import evaluation_files, read_iemocap, read_iemocap_release
from cberl.data.json_lines import read_json_lines
from cberl.data.meld import PROSODY_FILE, VOTES_FILE, csv_file, read_meld
from cberl.labels import MELD


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus on disk. `files` are all that its dialogues are read from, media excepted: caches are named by them."""

    name: str
    labels: tuple[str, ...]
    folder: Path
    splits: tuple[str, ...]
    files: tuple[Path, ...]
    reader: Callable[[Path, str], list[Dialogue]]

    def read(self, split: str) -> list[Dialogue]:
        """One split's dialogues. Raises `DataError`."""
        if split not in self.splits:
            raise DataError(f"{self.folder} ({self.name}) has no {split} split: it has {', '.join(self.splits)}")
        return self.reader(self.folder, split)


def detect(folder: Path, classes: int | None = None) -> Corpus:
    """The corpus in `folder`, detected by its file names. `classes`: 6 or 4, of IEMOCAP. Raises `DataError`.

    May also be a file of `cberl.data.emotion_text`.
    """
    if is_emotion_text(folder):
        return Corpus(folder.name.partition(".")[0], MELD, folder, SPLITS, (folder,), read_emotion_text)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder, nor a .jsonl.gz of labelled text: give the folder of a corpus")
    corpus = next((found for look in _LAYOUTS if (found := look(folder, classes or 6))), None)
    if corpus is None:
        raise DataError(
            f"{folder} holds no supported corpus. Supported are MELD (*_sent_emo.csv), IEMOCAP (Session1 to Session5, "
            f"or {iemocap.FILE}), EmoryNLP (emorynlp_*_final.csv), and your own data ({own.HEADER} and train.jsonl; "
            "see docs/data.md)"
        )
    if classes is not None and classes != len(corpus.labels):
        raise DataError(f"{corpus.name} has {len(corpus.labels)} classes, not {classes}")
    return corpus


def read_corpus(folder: Path, split: str, classes: int | None = None) -> list[Dialogue]:
    """One split's dialogues of the corpus in `folder`. Raises `DataError`."""
    return detect(folder, classes).read(split)


def _own(folder: Path, classes: int) -> Corpus | None:
    if not (folder / own.HEADER).is_file():
        return None
    header = own.read_header(folder)
    there = own.files(folder)
    splits = tuple(split for split in SPLITS if split in there or (split == "dev" and "train" in there))
    files = (folder / own.HEADER, *there.values())
    return Corpus(header.name, tuple(header.labels), folder, splits, files, own.read_own)


def _meld(folder: Path, classes: int) -> Corpus | None:
    splits = tuple(split for split in SPLITS if csv_file(folder, split).is_file())
    beside = (path for name in (PROSODY_FILE, VOTES_FILE) if (path := folder / name).is_file())
    files = (*(csv_file(folder, split) for split in splits), *beside)
    return Corpus("MELD", MELD, folder, splits, files, read_meld) if splits else None


def _emorynlp(folder: Path, classes: int) -> Corpus | None:
    paths = {split: folder / f"emorynlp_{split}_final.csv" for split in SPLITS}
    files = {split: path for split, path in paths.items() if path.is_file()}
    if not files:
        return None
    return Corpus("EmoryNLP", emorynlp.LABELS, folder, tuple(files), tuple(files.values()), read_emorynlp)


def _iemocap_release(folder: Path, classes: int) -> Corpus | None:
    evaluations = evaluation_files(folder)
    if not evaluations:
        return None
    transcripts = [path.parent.parent / "transcriptions" / path.name for path in evaluations]
    present = {iemocap.split_of(path.stem) for path in evaluations}
    splits = tuple(split for split in SPLITS if split in present)
    return _iemocap(folder, classes, splits, (*evaluations, *transcripts), release=True)


def _iemocap_file(folder: Path, classes: int) -> Corpus | None:
    path = folder / iemocap.FILE
    if not path.is_file():
        return None
    _, first = next(read_json_lines(path), (0, {}))
    known = "label6" in first  # MELD has a file of the same name
    return _iemocap(folder, classes, SPLITS, (path,), release=False) if known else None


def _iemocap(folder: Path, classes: int, splits: tuple[str, ...], files: tuple[Path, ...], release: bool) -> Corpus:
    if classes not in iemocap.LABELS:
        raise DataError(f"IEMOCAP has label sets of 6 and of 4 classes, not of {classes}")
    reader = partial(read_iemocap_release if release else read_iemocap, classes=classes)
    return Corpus(f"IEMOCAP-{classes}", iemocap.LABELS[classes], folder, splits, files, reader)


_LAYOUTS = (_own, _meld, _emorynlp, _iemocap_release, _iemocap_file)
