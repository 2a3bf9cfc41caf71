"""Checks whether an SDP offer can be answered, before aiortc acts on it. No sockets."""

from aiortc import RTCIceCandidate
from aiortc.sdp import MediaDescription, SessionDescription

from engine.errors import EngineError
from engine.ingest.webrtc._aiortc_compat import MALFORMED, has_common_codec

MAX_OFFER_BYTES = 65_536  # a browser's has 3,000 to 8,000
MAX_CANDIDATES = 64
SENDS = ("sendonly", "sendrecv")


class OfferError(EngineError):
    """An offer that is refused. `status` is the HTTP status, `code` is for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def check_offer(sdp: str, max_tracks: int) -> SessionDescription:
    """The parsed offer. Raises OfferError unless it sends audio, and optionally video, that can be received."""
    offer = _parse(sdp)
    try:
        _check(offer, max_tracks)
    except MALFORMED as error:  # of attributes without the value that aiortc expects
        raise _bad("The offer is not SDP that can be parsed.") from error
    return offer


def _check(offer: SessionDescription, max_tracks: int) -> None:
    if not offer.media:
        raise _bad("The offer has no media section: send audio, and optionally video.")
    if len(offer.media) > max_tracks:
        raise OfferError(422, "too_many_tracks", f"A publisher may have {max_tracks} tracks, not {len(offer.media)}.")
    mids = [media.rtp.muxId for media in offer.media]
    bundles = [sorted(map(str, group.items)) for group in offer.group if group.semantic == "BUNDLE"]
    grouped = bundles == [sorted(map(str, mids))] or (not bundles and len(mids) == 1)
    if not grouped or len(set(mids)) < len(mids) or not all(isinstance(mid, str) for mid in mids):
        raise _bad("All media sections of the offer need an a=mid of their own and to be in one BUNDLE group.")
    if sum(len(media.ice_candidates) for media in offer.media) > MAX_CANDIDATES:
        raise _bad(f"The offer has more than {MAX_CANDIDATES} ICE candidates.")
    for media in offer.media:
        _check_media(media)
        for candidate in media.ice_candidates:
            check_candidate(candidate)
    if not any(media.kind == "audio" and media.direction in SENDS for media in offer.media):
        raise OfferError(422, "no_audio", "The offer sends no audio: turns are found in audio.")


def check_candidate(candidate: RTCIceCandidate) -> None:
    """Raises OfferError where nothing can be sent to it, which aioice finds out too late to tell."""
    if not 0 <= candidate.port <= 65_535:
        raise _bad(f"The port of an ICE candidate is from 0 to 65535, not {str(candidate.port)[:20]}.")


def _parse(sdp: str) -> SessionDescription:
    if not sdp.startswith("v=0"):
        raise _bad("The body is not SDP: it must begin with v=0.")
    try:
        return SessionDescription.parse(sdp)
    except MALFORMED as error:
        raise _bad("The offer is not SDP that can be parsed.") from error


def _check_media(media: MediaDescription) -> None:
    if media.kind not in ("audio", "video"):
        raise OfferError(422, "unsupported_kind", f"A media section is audio or video, not {media.kind[:40]!r}.")
    if not (media.ice and media.ice.usernameFragment and media.ice.password):
        raise _bad("The offer has no ICE user name or password (a=ice-ufrag, a=ice-pwd).")
    if media.dtls is None or not media.dtls.fingerprints:
        raise _bad("The offer has no DTLS fingerprint or role (a=fingerprint, a=setup).")
    if not media.rtcp_mux:
        raise _bad("The offer needs a=rtcp-mux: RTP and RTCP share one port.")
    try:
        receivable = has_common_codec(media)
    except MALFORMED as error:
        raise _bad("The offer's a=fmtp lines cannot be parsed.") from error
    if not receivable:
        codecs = "Opus, G.722, PCMU and PCMA" if media.kind == "audio" else "VP8 and H.264"
        raise OfferError(422, "unsupported_codec", f"The {media.kind} codecs are {codecs}; the offer has none of them.")


def _bad(message: str) -> OfferError:
    return OfferError(400, "bad_sdp", message)
