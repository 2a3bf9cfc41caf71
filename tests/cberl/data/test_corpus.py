"""Corpora are detected by their file names."""

from pathlib import Path

import pytest

from cberl.data.check import check
from cberl.data.corpus import detect, read_corpus
from cberl.data.dialogue import DataError, held_out
from cberl.labels import IEMOCAP4, IEMOCAP6, MELD


def test_the_available_corpora(shared: Path) -> None:
    data = shared / "data"
    found = {name: detect(data / name) for name in ("meld", "emorynlp", "iemocap")}
    assert [corpus.name for corpus in found.values()] == ["MELD", "EmoryNLP", "IEMOCAP-6"]
    assert found["meld"].labels == MELD
    assert found["iemocap"].labels == IEMOCAP6
    assert detect(data / "iemocap", classes=4).labels == IEMOCAP4
    for corpus in found.values():
        assert corpus.splits == ("train", "dev", "test")
        assert all(path.is_file() for path in corpus.files)
    assert sum(len(one.lines) for one in read_corpus(data / "meld", "dev")) == 1109
    with pytest.raises(DataError, match="MELD has 7 classes, not 6"):
        detect(data / "meld", classes=6)
    with pytest.raises(DataError, match="6 and of 4"):
        detect(data / "iemocap", classes=5)


def test_problems_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        detect(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no supported corpus\. Supported are MELD .*your own"):
        detect(tmp_path)
    (tmp_path / "test_sent_emo.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="has no train split: it has test"):
        read_corpus(tmp_path, "train")
    (problem,) = check(detect(tmp_path)).problems
    assert "has no column" in str(problem)


def test_the_held_out_part_is_the_same_everywhere() -> None:
    ids = [f"c{n}" for n in range(100)]
    assert held_out(ids, 0.1) == held_out(reversed(ids), 0.1)
    assert len(held_out(ids, 0.1)) == 10
    assert held_out(ids, 0.1) != held_out(ids, 0.1, seed=1)
    assert held_out(["only"], 0.1) == set()
    assert held_out(["a", "b", "c", "d", "e"], 0.4) == {"b", "c"}  # must never change: results depend on it
