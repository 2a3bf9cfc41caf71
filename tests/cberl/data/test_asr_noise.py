"""Simulated errors of speech recognition: their rate, their kinds, and equal results for equal seeds."""

import random
import re
from collections import Counter

import jellyfish
import pytest

from cberl.data.asr_noise import AsrNoise
from cberl.data.whisper_style import SPELLED

KNOWN = "their house is over there by the sea where we see the two bears eat bare bread and read a red book"
NOISE = AsrNoise([KNOWN])
TEXT = " ".join(random.Random(0).choices(KNOWN.split(), k=4000))


def word_errors(said: str, heard: str) -> int:
    """The minimum number of substitutions, deletions and insertions (Wagner & Fischer 1974)."""
    row = list(range(len(heard.split()) + 1))
    for i, word in enumerate(said.split(), 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard.split(), 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.6])
def test_the_word_error_rate_is_the_one_asked_for(rate: float) -> None:
    rng = random.Random(1)
    lines = [TEXT.split()[n : n + 20] for n in range(0, 4000, 20)]
    wrong = sum(word_errors(" ".join(line), NOISE.plain(" ".join(line), rate, rng)) for line in lines)
    # A little less: a deletion next to an insertion can count as one substitution.
    assert rate - 0.06 * (rate > 0) <= wrong / 4000 <= rate + 0.03 * (rate > 0)


def test_equal_seeds_give_equal_text() -> None:
    heard = [NOISE.plain(TEXT, 0.3, random.Random(seed)) for seed in (5, 5, 6)]
    assert heard[0] == heard[1] != heard[2]


def test_a_substitute_sounds_similar_if_there_is_such_a_word() -> None:
    heard = {NOISE.plain("sea", 1.0, random.Random(seed)) for seed in range(60)}
    alike = {word for word in heard if jellyfish.soundex(word.split()[0]) == jellyfish.soundex("sea")}
    assert "see" in alike
    assert alike == heard


def test_case_and_punctuation_are_removed_and_no_text_becomes_empty() -> None:
    assert NOISE.plain("Where's the BEAR?!", 0.0, random.Random(0)) == "where's the bear"
    assert all(NOISE.plain("bread", 1.0, random.Random(seed)) for seed in range(50))
    assert NOISE.plain("?!", 0.5, random.Random(0)) == "?!"


def test_whisper_writes_marks_and_spelling_of_its_own() -> None:
    heard = [NOISE.whisper("No-no, y'know what?! I'm sooo happy!", 0.0, random.Random(seed)) for seed in range(300)]
    final = Counter(re.sub(r".*happy", "", text) for text in heard)
    assert final["."] / 300 == pytest.approx(0.9, abs=0.06)
    assert final["!"] / 300 == pytest.approx(0.03, abs=0.03)
    assert all(re.match(r"No[,.]? [Nn]o", text) and re.search("so,? happy", text) for text in heard)
    assert sum("you know" in text.lower() for text in heard) / 300 == pytest.approx(SPELLED, abs=0.08)
    assert all(text[0].isupper() for text in heard)


def test_whisper_keeps_a_plain_sentence_and_adds_word_errors_at_the_rate() -> None:
    rng = random.Random(2)
    lines = [" ".join(TEXT.split()[n : n + 20]) + "." for n in range(0, 4000, 20)]
    kept = [NOISE.whisper(line, 0.0, rng).lower().strip(".?") for line in lines]
    assert [re.sub("[,]", "", text) for text in kept] == [line.strip(".") for line in lines]
    wrong = [re.sub("[^a-z ]", "", NOISE.whisper(line, 0.2, rng).lower()) for line in lines]
    errors = sum(word_errors(line.strip("."), text) for line, text in zip(lines, wrong, strict=True))
    assert errors / 4000 == pytest.approx(0.2, abs=0.04)
    assert NOISE.whisper("?!", 0.5, rng) == "?!"
    assert all(NOISE.whisper("Um.", 0.9, rng) for _ in range(100))
