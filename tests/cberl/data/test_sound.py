"""Decoding and cutting spans, on synthetic audio."""

from pathlib import Path

import numpy as np
import pytest

from cberl.data.dialogue import DataError
from cberl.data.sound import SpanCutter, decode, duration_s, probe, read_spans
from cberl.types import SAMPLE_RATE
from testing.recordings import tone, write_wav


def test_spans_are_slices_of_the_audio_whatever_the_pieces() -> None:
    sound = np.arange(5 * SAMPLE_RATE, dtype=np.float32)
    spans = [(0.0, 1.0), (0.5, 2.25), (2.0, 2.0), (3.0, None), (4.5, 9.0), (8.0, 9.0)]
    random = np.random.default_rng(0)
    for _ in range(5):
        cutter = SpanCutter(spans)
        cut: dict[int, np.ndarray] = {}
        edges = np.sort(random.integers(0, len(sound), 40))
        for piece in np.split(sound, edges):
            cut |= dict(cutter.push(piece))
        cut |= dict(cutter.finish())
        for i, (start_s, end_s) in enumerate(spans):
            last = None if end_s is None else round(end_s * SAMPLE_RATE)
            np.testing.assert_array_equal(cut[i], sound[round(start_s * SAMPLE_RATE) : last])


def test_audio_that_is_no_longer_needed_is_released() -> None:
    cutter = SpanCutter([(1000.0, 1001.0)])
    for _ in range(100):
        cutter.push(np.zeros(SAMPLE_RATE, np.float32))
    assert sum(len(piece) for piece in cutter._held) <= SAMPLE_RATE


def test_channels_and_rates(tmp_path: Path) -> None:
    rate = 8000
    pair = np.stack([tone(200, 1, rate), tone(1000, 1, rate)])
    path = write_wav(tmp_path / "two.wav", pair, rate)
    for channel, hz in ((1, 200), (2, 1000)):
        sound = np.concatenate(list(decode(path, channel)))
        assert len(sound) == pytest.approx(SAMPLE_RATE, abs=32)
        assert np.abs(np.fft.rfft(sound[:SAMPLE_RATE])).argmax() == pytest.approx(hz, abs=1)
    mixed = np.concatenate(list(decode(path)))
    assert np.abs(np.fft.rfft(mixed))[[200, 1000]].min() > 1000
    assert probe(path).channels == 2
    assert probe(path).duration_s == pytest.approx(1.0)
    assert duration_s(path) == pytest.approx(1.0, abs=0.002)


def test_problems_are_sentences(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "one.wav", tone(200, 0.5)[None])
    with pytest.raises(DataError, match=r"has 1 channel\(s\), so there is no channel 2"):
        list(decode(path, 2))
    with pytest.raises(DataError, match="is missing"):
        list(read_spans(tmp_path / "none.wav", [(0.0, None)]))
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(DataError, match="cannot be read as media"):
        probe(tmp_path / "text.mp4")
