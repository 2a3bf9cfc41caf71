"""How Whisper writes what a script writes otherwise: marks, case, spelling. Shares are those of tiny.en.

They were counted on 860 utterances of MELD's train, spoken by hibari (`bench/spoken.py`, `voice`): "!" becomes
"." or ",", a question without the word order of one ends with ".", dashes and stretched vowels disappear, and
colloquial spellings and numbers become standard ones.
"""

import random
import re
from collections.abc import Sequence

Shares = tuple[tuple[str, float], ...]

# What a mark at the end of an utterance, or inside of it, becomes. The rest stays as it is.
FINAL: dict[str, Shares] = {
    ".": (("", 0.03), ("?", 0.02), ("...", 0.02)),
    "!": ((".", 0.9), ("", 0.04), ("...", 0.02), ("?", 0.01)),
    "?": ((".", 0.3), ("", 0.03), ("...", 0.01)),
    "?!": (("?", 0.83), (".", 0.12), ("...", 0.05)),
    "...": ((".", 0.7), ("?", 0.1)),
    ",": ((".", 0.65), ("...", 0.2), ("", 0.15)),
    "": ((".", 0.7), ("...", 0.23), ("?", 0.04)),
}
INSIDE: dict[str, Shares] = {
    ".": ((",", 0.2), ("", 0.02), ("?", 0.02)),
    "!": ((".", 0.5), (",", 0.42), ("?", 0.05), ("", 0.02)),
    "?": ((".", 0.26), (",", 0.17), ("", 0.02)),
    "?!": (("?", 0.8), (",", 0.2)),
    "...": ((".", 0.46), (",", 0.41), ("", 0.09)),
    ",": (("", 0.2), (".", 0.09)),
    "-": (("", 0.7), (",", 0.24), (".", 0.06)),
    "": ((",", 0.013),),
}
SPELLINGS = {
    "y'know": "you know", "ok": "okay", "wanna": "want to", "kinda": "kind of", "gimme": "give me", "lemme": "let me",
    "dunno": "don't know", "outta": "out of", "sorta": "sort of", "coulda": "could have", "shoulda": "should have",
    "woulda": "would have", "ya": "you", "'cause": "because", "'em": "him", "umm": "um", "uhh": "uh", "aww": "oh",
    "aw": "oh", "ahh": "ah", "damnit": "dammit", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "fifteen": "15", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "hundred": "100",
}  # fmt: skip
SPELLED = 0.85  # share of these words that are written so
FILLERS = ("ah", "eh", "ew", "hmm", "mm", "ooh", "ow", "ugh", "uh", "um", "wow")
FILLER_WRONG, FILLER_HEARD = 0.7, ("", "", "a", "oh", "uh", "you", "well")  # "oh" and "hey" are recognised
_TOKEN = re.compile(r"('?\w+(?:['’]\w+)*'?)([^\w\s]*)(\s*)")
_STRETCHED = re.compile(r"(\w)\1{2,}")


def tokens(text: str) -> list[tuple[str, str]]:
    """Words, each with the mark behind it: one of `INSIDE`. A dash between words is such a mark."""
    return [(word, _mark(marks)) for word, marks, _ in _TOKEN.findall(text)]


def spelled(word: str, rng: random.Random) -> str:
    """A word as Whisper spells it; "" where it leaves a filler out."""
    plain = _STRETCHED.sub(r"\1", word.lower())
    if plain in FILLERS and rng.random() < FILLER_WRONG:
        return rng.choice(FILLER_HEARD)
    if plain in SPELLINGS and rng.random() < SPELLED:
        return SPELLINGS[plain]
    if plain.endswith("in'"):
        return plain[:-1] + "g"
    return plain if word.isupper() and len(word) > 1 else _STRETCHED.sub(r"\1", word)


def written(words: Sequence[tuple[str, str]], rng: random.Random) -> str:
    """Words with their marks -> text with the marks of Whisper, and a capital at the start of each sentence."""
    text, starts = [], True
    said = [(word, mark) for word, mark in words if word]
    for n, (word, mark) in enumerate(said):
        shares = (FINAL if n == len(said) - 1 else INSIDE).get(mark, ())
        mark = _drawn(shares, mark, rng)
        text.append((word[0].upper() + word[1:] if starts else word) + mark)
        starts = mark in (".", "?", "!", "?!")
    return " ".join(text)


def _mark(marks: str) -> str:
    if ".." in marks or "…" in marks:
        return "..."
    if "?" in marks and "!" in marks:
        return "?!"
    return next((mark for mark in "?!.,-" if mark in marks), "," if marks in (";", ":") else "")


def _drawn(shares: Shares, otherwise: str, rng: random.Random) -> str:
    draw = rng.random()
    for mark, share in shares:
        if draw < share:
            return mark
        draw -= share
    return otherwise
