"""The file of a recorded conversation."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media import AudioChunk, Caption, Track, VideoFrame
from engine.recording.container import RecordingError, decode_chunk, encode, encode_chunk, read_header, records

TRACK = Track("mic", "Zoë", captioned=True, numbered_from="guest")
RNG = np.random.default_rng(0)
CHUNK = AudioChunk(
    TRACK,
    1.1,
    RNG.normal(size=1600).astype(np.float32),
    tuple(VideoFrame(TRACK, at_s, RNG.integers(0, 255, (4, 6, 3), dtype=np.uint8)) for at_s in (1.0, 1.3)),
    captions=(Caption(0.2, 1.1, "Grüße", "de", 0.5), Caption(1.1, 1.2, "", "", None)),
    realtime=False,
)


def test_a_chunk_is_read_as_it_was_written_to_the_bit() -> None:
    file = io.BytesIO(encode_chunk(CHUNK, at_s=2 / 3, source=7, dropped=3))
    (record,) = records(file)
    assert (record.about["source"], record.about["dropped"], record.about["at_s"]) == (7, 3, 2 / 3)
    file.seek(record.payload_at)
    found = decode_chunk(record.about, file.read(record.payload_bytes), arrived_at=9.5)
    assert (found.track, found.start_s, found.captions, found.realtime) == (TRACK, 1.1, CHUNK.captions, False)
    assert found.arrived_at == 9.5
    assert found.pcm.tobytes() == CHUNK.pcm.tobytes()
    assert [it.at_s for it in found.frames] == [1.0, 1.3]
    assert all(np.array_equal(it.rgb, mine.rgb) for it, mine in zip(found.frames, CHUNK.frames, strict=True))


WRITTEN = [encode({"type": "a"}), encode_chunk(CHUNK, 0.0, 1, 0), encode({"type": "z"})]
WHOLE = b"".join(WRITTEN)


@given(st.integers(0, len(WHOLE)))
def test_a_file_that_was_cut_off_is_read_up_to_the_last_whole_record(length: int) -> None:
    whole = sum(len(b"".join(WRITTEN[: n + 1])) <= length for n in range(len(WRITTEN)))
    assert len(list(records(io.BytesIO(WHOLE[:length])))) == whole


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_record_and_what_follows_it_is_not_read(at: int, change: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= change
    before = sum(len(b"".join(WRITTEN[: n + 1])) <= at for n in range(len(WRITTEN)))
    assert len(list(records(io.BytesIO(bytes(damaged))))) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a recording"),
        (b"RIFF" * 100, "is not a recording"),
        (encode({"type": "joined"}), "is not a recording"),
        (encode({"type": "conversation", "version": 99}), "has version 99"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(RecordingError, match=says):
        read_header(tmp_path / "file")
