"""How long a window of audio Whisper reads for a clip, and when its text is decoded once more in the full window. Pure.

Whisper was trained on windows of 30 s, and the cost of its encoder grows faster than linearly with the window. In a
shorter one the decoder tends to repeat itself, the more so the less of the window is left after the clip: windows and
margin were chosen by `bench/asr.py`, and what looks like repetition is decoded again in the full window.
"""

import re

import numpy as np

from cberl.types import SAMPLE_RATE, Float32

WINDOWS_S = (10, 15, 20, 30)
FULL_S = 30
MARGIN_S = 2.0  # of a window that is left empty after the clip
TOKENS_FREE, TOKENS_PER_S = 16, 10.0  # the fastest speech has about 8 tokens per second
SUSPICIOUS = {1: 4, 2: 3, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2, 8: 2}  # a phrase of so many words, so often in a row
SPLIT_SEARCH_S = 5.0  # a clip longer than the full window is split at the quietest place this close to its end
_BLOCK = SAMPLE_RATE // 10


def window_s(duration_s: float) -> int:
    """The shortest window that holds a clip of this duration and the margin."""
    return next((it for it in WINDOWS_S if duration_s + MARGIN_S <= it), FULL_S)


def max_tokens(duration_s: float) -> int:
    """No clip of this duration has so many tokens: the decoder repeats itself and is stopped."""
    return round(TOKENS_FREE + TOKENS_PER_S * duration_s)


def repeats(text: str) -> bool:
    """Whether a phrase occurs several times in a row. People repeat themselves, too: a reason to decode again."""
    words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
    return any(
        words[at : at + size] * times == words[at : at + size * times]
        for size, times in SUSPICIOUS.items()
        for at in range(len(words) - size * times + 1)
    )


def pieces(pcm: Float32) -> list[Float32]:
    """The clip in pieces that the full window holds, split where it is quiet. float32[n] mono 16 kHz."""
    longest = round((FULL_S - MARGIN_S) * SAMPLE_RATE)
    found = []
    while len(pcm) > longest:
        searched = pcm[longest - round(SPLIT_SEARCH_S * SAMPLE_RATE) : longest]
        level = np.square(searched).reshape(-1, _BLOCK).mean(axis=1)  # per 0.1 s
        cut = longest - len(searched) + int(level.argmin()) * _BLOCK + _BLOCK // 2
        found.append(pcm[:cut])
        pcm = pcm[cut:]
    return [*found, pcm]
