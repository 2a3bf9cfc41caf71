"""Intensity, and the articulation rate that is computed from it.

The intensity contour weights squared pressure with a Kaiser window whose side lobes lie below -190 dB, so that the
period of the voice does not show in it. Syllable nuclei follow N. de Jong & T. Wempe (2009), "Praat script to detect
syllable nuclei and measure speech rate automatically", Behavior Research Methods 41, 385-390.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.frames import blocks, find_peaks, frame_centres
from cberl.encoders.pitch import PitchSettings, pitch_track
from cberl.types import Float32, Float64

HEARING_THRESHOLD = 4e-10  # (20 micropascal) squared: 0 dB, if full scale is 1 Pa

Run = tuple[bool, float, float]  # (is not silent, start in s, end in s)

NUCLEI_VOICING = PitchSettings(
    floor_hz=30,
    ceiling_hz=450,
    time_step_s=0.02,
    voicing_threshold=0.25,
    voicing_change_cost=0.25,
    oversampling=1,
)


def intensity(pcm: Float32, sample_rate: int, floor_hz: float) -> tuple[Float64, Float64]:
    """(centres in s, dB above the threshold of hearing), each float64[frames]; smooth for voices above `floor_hz`.

    Digital silence is -300 dB. Empty if `pcm` is shorter than one window of 6.4 / floor_hz seconds.
    """
    centres = frame_centres(len(pcm), sample_rate, 6.4 / floor_hz, 0.8 / floor_hz)
    if len(centres) == 0:
        return centres, centres
    length = int(6.4 / floor_hz * sample_rate)
    window = _kaiser(length)
    power = np.concatenate(
        [np.square(f - f.mean(axis=1, keepdims=True)) @ window for f in blocks(pcm, centres, length)]
    ).astype(np.float64)
    return centres / sample_rate, 10 * np.log10(np.maximum(power / HEARING_THRESHOLD, 1e-30))


@lru_cache
def _kaiser(length: int) -> Float32:
    window = np.kaiser(length, 2 * np.pi**2 + 0.5)
    normalised: Float32 = (window / window.sum()).astype(np.float32)
    return normalised


def articulation_rate(
    pcm: Float32, sample_rate: int, silence_db: float = -25.0, dip_db: float = 2.0, pause_s: float = 0.3
) -> float:
    """Syllable nuclei per second of phonation; NaN if there are none.

    A nucleus is a voiced peak of intensity within `silence_db` of the loudest, followed by a dip of at least `dip_db`.
    Silences shorter than `pause_s` count as phonation.
    """
    at_s, level_db = intensity(pcm, sample_rate, floor_hz=50)
    if len(level_db) < 3:
        return float("nan")
    # The 99th percentile, so that one burst does not raise the threshold.
    threshold_db = max(float(np.quantile(level_db, 0.99)) + silence_db, float(level_db.min()))
    speech = _sounding(at_s, level_db >= threshold_db, len(pcm) / sample_rate, pause_s)
    _, position, height = find_peaks(level_db[None])
    position, height = position[height > threshold_db], height[height > threshold_db]
    nuclei_s = [
        at_s[0] + here * (at_s[1] - at_s[0])
        for here, following, peak in zip(position, position[1:], height, strict=False)
        if peak - level_db[int(np.ceil(here)) : int(following) + 1].min() > dip_db
    ]
    pitch_at_s, hz = pitch_track(pcm, sample_rate, NUCLEI_VOICING)
    voiced_s = pitch_at_s[~np.isnan(hz)]
    syllables = sum(
        any(start_s <= at < end_s for start_s, end_s in speech)
        and bool((np.abs(voiced_s - at) <= NUCLEI_VOICING.time_step_s / 2).any())
        for at in nuclei_s
    )
    phonation_s = sum(end_s - start_s for start_s, end_s in speech)
    return syllables / phonation_s if syllables else float("nan")


def _sounding(at_s: Float64, loud: NDArray[np.bool_], end_s: float, pause_s: float) -> list[tuple[float, float]]:
    """(start, end) in s of what is not silent, without sounds under 100 ms and with pauses under `pause_s`."""
    change = np.flatnonzero(np.diff(loud)) + 1
    edges = [0.0, *((at_s[change - 1] + at_s[change]) / 2), end_s]
    runs = [(bool(loud[i]), a, b) for i, a, b in zip([0, *change], edges[:-1], edges[1:], strict=True)]
    runs = _absorb(runs, True, 0.1)
    runs = _absorb(runs, False, pause_s)
    return [(start, end) for sounding, start, end in runs if sounding]


def _absorb(runs: list[Run], kind: bool, shortest_s: float) -> list[Run]:
    """Changes runs of `kind` shorter than `shortest_s` to the other kind and joins adjacent runs of one kind."""
    joined: list[Run] = []
    for sounding, start, end in runs:
        sounding = sounding != (sounding == kind and end - start < shortest_s)
        if joined and joined[-1][0] == sounding:
            start = joined.pop()[1]
        joined.append((sounding, start, end))
    return joined
