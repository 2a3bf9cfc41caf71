"""Do the eight prosodic features agree with Praat's, and what do they cost?

    python bench/prosody.py            a table
    python bench/prosody.py --json     one object

Needs the data in CBERL_SHARED (default: ../shared), and praat-parselmouth as the reference. Recordings: acted speech
trimmed like a detected turn; spoken digits; annotated turns of meetings; one to six seconds of other conversations.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import parselmouth
from numpy.typing import NDArray
from parselmouth.praat import call

from cberl.encoders.prosody import PROSODY_NAMES, prosody
from cberl.types import SAMPLE_RATE, Float32

SHARED = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared"))

Float64 = NDArray[np.float64]


def read(path: Path) -> Float32:
    """Any audio file as float32[n] at 16 kHz, mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        decoded = [*container.decode(audio=0), None]  # None flushes the resampler
        return np.concatenate([out.to_ndarray()[0] for frame in decoded for out in resampler.resample(frame)])


def recordings(data: Path, one_in: int = 1) -> Iterator[tuple[str, Float32]]:
    """(kind, pcm) of about 230 turns, or of every `one_in`-th."""
    for path in sorted((data / "ravdess").glob("*.flac"))[:: 11 * one_in]:
        yield "acted", _loud_part(read(path))
    for path in sorted((data / "digits").glob("*.wav"))[:: 3 * one_in]:
        yield "digits", read(path)
    rttm = [line.split() for line in (data / "conversations/ami/debug.train.rttm").read_text().splitlines()]
    for path in sorted((data / "conversations/ami").glob("*.flac")):
        turns = [(float(f[3]), float(f[4])) for f in rttm if f[1] == path.stem and float(f[4]) > 0.5]
        yield from (("meeting", part) for part in _cut(read(path), turns[: 5 * one_in : one_in]))
    for name in ("azure_katiesteve.wav", "pyannote_sample.wav", "google_commercial_mono.wav", "jfk.flac"):
        pcm = read(data / "conversations" / name)
        random = np.random.default_rng(0)
        lengths_s = random.uniform(1, 6, 20)
        starts_s = random.uniform(0, len(pcm) / SAMPLE_RATE - 6, 20)
        stretches = list(zip(starts_s, lengths_s, strict=True))[::one_in]
        yield from (("conversation", part) for part in _cut(pcm, stretches))


def _cut(pcm: Float32, stretches: list[tuple[float, float]]) -> Iterator[Float32]:
    for start_s, length_s in stretches:
        yield pcm[int(start_s * SAMPLE_RATE) : int((start_s + length_s) * SAMPLE_RATE)]


def _loud_part(pcm: Float32) -> Float32:
    """From the first to the last 10 ms within 40 dB of the loudest, with a margin of 100 ms."""
    hop = SAMPLE_RATE // 100
    frames = pcm[: len(pcm) // hop * hop].reshape(-1, hop)  # (frames * hop,) -> (frames, hop)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level > level.max() / 100)
    return pcm[max((loud[0] - 10) * hop, 0) : (loud[-1] + 11) * hop]


def praat(pcm: Float32) -> Float64:
    """Praat's eight features, float64[8]; NaN where Praat has no value.

    Unlike in Praat, intensity is floored at the threshold of hearing before its sd is computed: in Praat digital
    silence has -300 dB, and a few such frames would dominate the sd.
    """
    sound = parselmouth.Sound(pcm.astype(np.float64), SAMPLE_RATE)
    numbers = np.full(8, np.nan)
    numbers[0] = sound.duration
    if sound.duration >= 0.064:
        intensity = sound.to_intensity(100)
        numbers[1] = call(intensity, "Get mean", 0, 0, "energy")
        numbers[2] = np.maximum(intensity.values[0], 0).std(ddof=1)
        hz = sound.to_pitch(pitch_floor=75, pitch_ceiling=600).selected_array["frequency"]
        hz = hz[hz > 0]
        if len(hz) > 1:
            numbers[3:6] = hz.mean(), hz.std(ddof=1), np.ptp(hz)
        numbers[7] = call(sound.to_harmonicity_cc(0.01, 75, 0.1, 1), "Get mean", 0, 0)
    if sound.duration >= 0.15:
        numbers[6] = articulation_rate(sound)
    return numbers


def articulation_rate(sound: parselmouth.Sound, silence_db: float = -25, dip_db: float = 2) -> float:
    """Syllable nuclei per second of phonation by the method of de Jong & Wempe (2009), with Praat in each step."""
    intensity = sound.to_intensity(50)
    loudest = call(intensity, "Get maximum", 0, 0, "Parabolic")
    loud = call(intensity, "Get quantile", 0, 0, 0.99)
    threshold = max(loud + silence_db, call(intensity, "Get minimum", 0, 0, "Parabolic"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", parselmouth.PraatWarning)  # "differ by only 9 dB"
        grid = call(intensity, "To TextGrid (silences)", silence_db - (loudest - loud), 0.3, 0.1, "silent", "sounding")
    contour = call(call(intensity, "Down to Matrix"), "To Sound (slice)", 1)
    extrema = call(contour, "To PointProcess (extrema)", 1, "yes", "no", "Sinc70")
    times = [call(extrema, "Get time from index", i + 1) for i in range(call(extrema, "Get number of points"))]
    peaks = [(at, call(contour, "Get value at time", 1, at, "cubic")) for at in times]
    peaks = [(at, height) for at, height in peaks if height > threshold]
    pitch = sound.to_pitch_ac(0.02, 30, 4, False, 0.03, 0.25, 0.01, 0.35, 0.25, 450)

    def sounding(at: float) -> bool:
        interval = call(grid, "Get interval at time", 1, at)
        return call(grid, "Get label of interval", 1, interval) == "sounding"

    syllables = sum(
        height - call(intensity, "Get minimum", at, following, "none") > dip_db
        and sounding(at)
        and not np.isnan(call(pitch, "Get value at time", at, "Hertz", "linear"))
        for (at, height), (following, _) in zip(peaks, peaks[1:], strict=False)
    )
    phonation_s = call(grid, "Get total duration of intervals where", 1, "is equal to", "sounding")
    return syllables / phonation_s if syllables else float("nan")


def agreement(ours: Float64, theirs: Float64) -> dict[str, dict[str, float]]:
    """Pearson's r, mean absolute difference, and how often only one of the two has a value, for each feature."""
    report = {}
    for i, name in enumerate(PROSODY_NAMES):
        both = ~np.isnan(ours[:, i]) & ~np.isnan(theirs[:, i])
        report[name] = {
            "pearson": float(np.corrcoef(ours[both, i], theirs[both, i])[0, 1]),
            "mean_abs_difference": float(np.abs(ours[both, i] - theirs[both, i]).mean()),
            "one_sided_missing": int((np.isnan(ours[:, i]) != np.isnan(theirs[:, i])).sum()),
        }
    return report


def measure(data: Path) -> dict[str, object]:
    """Agreement and cost over all recordings; the two alternate, so that other load affects both equally."""
    prosody(np.zeros(SAMPLE_RATE, np.float32))
    ours, theirs, kinds = [], [], []
    ours_s = theirs_s = audio_s = 0.0
    for kind, pcm in recordings(data):
        kinds.append(kind)
        start = time.process_time()
        ours.append(prosody(pcm))
        middle = time.process_time()
        theirs.append(praat(pcm))
        ours_s, theirs_s = ours_s + middle - start, theirs_s + time.process_time() - middle
        audio_s += len(pcm) / SAMPLE_RATE
    return {
        "turns": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "audio_s": round(audio_s, 1),
        "agreement": agreement(np.array(ours, np.float64), np.array(theirs)),
        "cpu_s_per_audio_s": ours_s / audio_s,
        "praat_cpu_s_per_audio_s": theirs_s / audio_s,
        "cost_relative_to_praat": ours_s / theirs_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    data = SHARED / "data"
    if not data.is_dir():
        raise SystemExit(f"no data at {data}: set CBERL_SHARED to the folder that holds data/")
    result = measure(data)
    if wanted.json:
        print(json.dumps(result))
        return
    print(f"{result['turns']}, {result['audio_s']} s of audio")
    print(f"{'':22}{'pearson r':>10}{'mean |diff|':>13}{'missing in one':>16}")
    for name, row in result["agreement"].items():
        print(f"{name:22}{row['pearson']:10.4f}{row['mean_abs_difference']:13.3f}{row['one_sided_missing']:16d}")
    print(
        f"CPU seconds per second of audio: {result['cpu_s_per_audio_s']:.4f}, "
        f"{result['cost_relative_to_praat']:.2f} x Praat's {result['praat_cpu_s_per_audio_s']:.4f}"
    )


if __name__ == "__main__":
    main()
