"""JPEG pictures that are small to send and expensive to decode (ITU-T T.81, annexes B and G)."""

import cv2
import numpy as np

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()

# One code of one bit, 0. In the first scan it says that a block is as the one before; in later ones, with 14 further
# bits, that the next 2^14 blocks have no coefficient.
_TABLES = [
    b"\xff\xc4\x00\x14" + bytes([kind]) + b"\x01" + bytes(15) + bytes([value]) for kind, value in ((0, 0), (16, 0xE0))
]
_DC_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00"
_AC_SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"  # coefficients 1 to 63


def many_scans(scans: int, side: int) -> bytes:
    """A grey progressive picture of `side` x `side` pixels, of `scans` scans; incomplete above a side of 4096."""
    blocks = min((side // 8) ** 2, 2**18)
    dc, ac = _DC_SCAN + bytes(blocks // 8), _AC_SCAN + bytes(blocks * 15 // 2**14 // 8 + 8)
    quantisation = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    frame = b"\xff\xc2\x00\x0b\x08" + side.to_bytes(2) * 2 + b"\x01\x01\x11\x00"
    return b"\xff\xd8" + quantisation + frame + b"".join(_TABLES) + dc + ac * (scans - 1) + b"\xff\xd9"
