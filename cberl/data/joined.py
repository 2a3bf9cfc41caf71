"""Several corpora with one label set as one corpus, to train a network on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError, Dialogue
from cberl.data.overlap import held_out_of, without_overlap


def joined(main: Corpus, others: Sequence[Corpus]) -> Corpus:
    """Train and dev of all; train of the others without dialogues that overlap with dev or test of any.

    The test split is that of the main corpus. Raises `DataError` where label sets differ, or a corpus lacks a split.
    """
    for other in others:
        if other.labels != main.labels:
            raise DataError(
                f"{other.name} has the labels {', '.join(other.labels)}, but {main.name} {', '.join(main.labels)}: "
                "corpora that are trained on together have one label set"
            )
    if not others:
        return main
    held_out = held_out_of(main, *others)

    def read(_: Path, split: str) -> list[Dialogue]:
        found = main.read(split)
        for other in others if split != "test" else ():
            theirs = other.read(split)
            kept = without_overlap(theirs, held_out) if split == "train" else theirs
            found += [replace(one, id=f"{other.name}/{one.id}") for one in kept]
        return found

    name = "+".join(one.name for one in (main, *others))
    files = tuple(path for one in (main, *others) for path in one.files)
    return replace(main, name=name, files=files, reader=read)
