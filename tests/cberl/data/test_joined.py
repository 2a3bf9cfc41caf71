"""Corpora that a network is trained on together."""

import gzip
import json
from pathlib import Path

import pytest

from cberl.data.corpus import Corpus, detect
from cberl.data.dialogue import DataError
from cberl.data.joined import joined
from cberl.data.sample import make_sample


def corpus(path: Path, said: str) -> Corpus:
    """Forty sentences."""
    with gzip.open(path, "wt") as file:
        file.writelines(
            json.dumps({"id": n, "text": f"{said} number {n} of them all", "meld": "joy"}) + "\n" for n in range(40)
        )
    return detect(path)


def texts(one: Corpus, split: str) -> set[str]:
    return {line.text for dialogue in one.read(split) for line in dialogue.lines}


def test_train_and_dev_are_of_all_test_of_the_main_one_and_what_overlaps_is_left_out(tmp_path: Path) -> None:
    main, other = corpus(tmp_path / "a.jsonl.gz", "Good"), corpus(tmp_path / "b.jsonl.gz", "Great")
    both = joined(main, [other])
    assert (both.name, both.files) == ("a+b", (*main.files, *other.files))
    for split in ("train", "dev"):
        assert texts(both, split) == texts(main, split) | texts(other, split)
    assert texts(both, "test") == texts(main, "test")
    ids = [one.id for one in both.read("train")]
    assert len(set(ids)) == len(ids) == 64
    same = corpus(tmp_path / "c.jsonl.gz", "Good")  # its train holds the main one's train only: the draw is by id
    assert texts(joined(main, [same]), "train") == texts(main, "train")
    (tmp_path / "c.jsonl.gz").unlink()
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        for n, text in enumerate(sorted(texts(main, "test") | texts(main, "dev")) * 5):
            file.write(json.dumps({"id": n, "text": text, "meld": "joy"}) + "\n")
    copied = joined(main, [detect(tmp_path / "c.jsonl.gz")])
    assert texts(copied, "train") == texts(main, "train")
    assert joined(main, []) is main


def test_other_labels_are_refused(tmp_path: Path) -> None:
    make_sample(tmp_path / "sample")
    with pytest.raises(DataError, match="one label set"):
        joined(corpus(tmp_path / "a.jsonl.gz", "Good"), [detect(tmp_path / "sample")])
