"""Back-channels: short sounds and words that show that somebody is listening. Pure."""

import re

LONGEST_S = 1.5
# The words of a back-channel. None of them takes the floor.
SIGNS = frozenset({
    "ah", "aha", "hm", "hmm", "huh", "mhm", "mm", "mmhm", "mmhmm", "mmm", "oh", "ok", "okay", "right", "sure", "uh",
    "uhhuh", "um", "yeah", "yep", "yes", "yup",
})  # fmt: skip
PHRASES = frozenset({"all right", "got it", "i see", "is that so", "of course"})


def is_backchannel(text: str, duration_s: float) -> bool:
    """Whether a turn of so many seconds is only a back-channel."""
    words = re.sub(r"[^a-z ]", "", text.lower().replace("-", " ")).split()
    if not words or duration_s > LONGEST_S:
        return False
    return " ".join(words) in PHRASES or (len(words) <= 3 and all(word in SIGNS for word in words))
