"""The size of a JPEG from its header, whatever markers precede it."""

import cv2
import numpy as np
import pytest

from engine.ingest.codecs import PayloadError, jpeg_size

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
FRAME = JPEG.index(b"\xff\xc0")
SMALL_FRAME = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"  # 1 x 1


@pytest.mark.parametrize(
    "before_frame",
    [
        b"\xff\xff\xff",  # fill bytes
        b"\xff\xd0\xff\x01",  # markers without a segment
        b"\xff\xfe\x00\x0f" + SMALL_FRAME,  # a start of frame in a comment
        b"\xff\xd0" + b"\xff\xfe\x00\x0f" + SMALL_FRAME,
    ],
    ids=["fill", "no segment", "comment", "both"],
)
def test_the_size_is_the_one_that_a_decoder_finds(before_frame: bytes) -> None:
    payload = JPEG[:FRAME] + before_frame + JPEG[FRAME:]
    decoded = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (48, 64, 3)
    assert jpeg_size(payload) == (64, 48)


def test_a_marker_without_a_segment_does_not_hide_the_frame_behind_it() -> None:
    """Taken for a segment of 0xFFC0 bytes, the restart marker would lead on to the decoy."""
    payload = JPEG[:FRAME] + b"\xff\xd0" + JPEG[FRAME:]
    decoy = payload + bytes(FRAME + 4 + 0xFFC0 - len(payload)) + SMALL_FRAME
    assert jpeg_size(decoy) == (64, 48)


@pytest.mark.parametrize(
    "header",
    [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xfe\x00\x01" + SMALL_FRAME, b"\xff\xd8\xff\xda\x00\x02"],
    ids=["empty", "start", "cut", "segment of no length", "scan before frame"],
)
def test_an_invalid_header_is_refused(header: bytes) -> None:
    with pytest.raises(PayloadError, match="no JPEG"):
        jpeg_size(header)
