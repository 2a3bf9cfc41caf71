"""JPEG pictures that are small to send and expensive to decode (ITU-T T.81, annexes B and G)."""

import cv2
import numpy as np

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()

# One code of one bit, 0: the next 2^14 blocks have no coefficient. A decoder adds zeros where the data of a scan ends.
_TABLES = [
    b"\xff\xc4\x00\x14" + bytes([kind]) + b"\x01" + bytes(15) + bytes([value]) for kind, value in ((0, 0), (16, 0xE0))
]
_DC_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"
_AC_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"  # coefficients 1 to 63


def many_scans(scans: int, side: int) -> bytes:
    """A grey progressive picture of `side` x `side` pixels: `scans` scans without data."""
    quantisation = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    frame = b"\xff\xc2\x00\x0b\x08" + side.to_bytes(2) * 2 + b"\x01\x01\x11\x00"
    return b"\xff\xd8" + quantisation + frame + b"".join(_TABLES) + _DC_SCAN + _AC_SCAN * (scans - 1) + b"\xff\xd9"
