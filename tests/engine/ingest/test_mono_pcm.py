"""Audio that needs no resampling."""

import av
import numpy as np
import pytest

from cberl.data.resampling import MonoPcm
from engine.ingest.codecs import audio_decoder
from engine.ingest.resampler import TrackResampler
from engine.media import Track


@pytest.mark.parametrize(("codec", "dtype", "form"), [("pcm_s16le", "<i2", "s16"), ("pcm_f32le", "<f4", "flt")])
def test_samples_of_16_khz_are_those_that_ffmpeg_would_give_to_the_bit(codec: str, dtype: str, form: str) -> None:
    loud = np.random.default_rng(0).uniform(-1.2, 1.2, 4000)
    samples = np.clip(loud * 32_768, -32_768, 32_767).astype(dtype) if form == "s16" else loud.astype(dtype)
    ours = TrackResampler(Track("a", "a"))
    theirs = TrackResampler(Track("a", "a"))
    decoded = audio_decoder(codec, 16_000)(samples.tobytes())
    assert isinstance(decoded, MonoPcm)
    frame = av.AudioFrame.from_ndarray(samples[None], format=form, layout="mono")
    frame.sample_rate = 16_000
    for media_s in (0.0, 0.25, 0.9, 1.1):  # follows; leaves a gap; overlaps by more than is tolerated
        found, wanted = [*ours.push(media_s, decoded)], [*theirs.push(media_s, frame)]
        assert [it.start_s for it in found] == [it.start_s for it in wanted]
        assert all(np.array_equal(it.pcm, other.pcm) for it, other in zip(found, wanted, strict=True))
    assert [*ours.flush()] == []
    assert (ours.end_s, ours.gaps, ours.missing_s) == (theirs.end_s, theirs.gaps, theirs.missing_s)
