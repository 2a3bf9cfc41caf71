"""The body of a WHIP PATCH: ICE candidates found after the offer (RFC 8840, `application/trickle-ice-sdpfrag`)."""

from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from engine.ingest.webrtc._aiortc_compat import MALFORMED
from engine.ingest.webrtc.sdp import OfferError, check_candidate


@dataclass(frozen=True, slots=True, eq=False)
class Trickle:
    """`last`: no more candidates will follow."""

    ufrag: str | None
    candidates: tuple[RTCIceCandidate, ...]
    last: bool


def parse_trickle(body: str) -> Trickle:
    """Raises OfferError. The media section of a candidate is ignored, because all sections are bundled."""
    ufrag: str | None = None
    candidates: list[RTCIceCandidate] = []
    last = False
    for line in body.splitlines():
        key, _, value = line.strip().partition(":")
        if key == "a=ice-ufrag":
            ufrag = value
        elif key == "a=end-of-candidates":
            last = True
        elif key == "a=candidate":
            try:
                candidates.append(candidate_from_sdp(value))
            except MALFORMED as error:
                raise OfferError(400, "bad_sdp", f"This is not an ICE candidate: {value[:100]!r}.") from error
            check_candidate(candidates[-1])
    if ufrag is None and not candidates and not last:
        raise OfferError(400, "bad_sdp", "The body is not an SDP fragment with ICE candidates.")
    return Trickle(ufrag, tuple(candidates), last)
