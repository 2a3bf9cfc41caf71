"""Can an SDP offer be answered? Judged before the WebRTC library acts on it. No sockets."""

from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs  # what setRemoteDescription itself asks, after it has begun
from aiortc.sdp import MediaDescription, SessionDescription

MAX_OFFER_BYTES = 65_536  # a browser's has 3,000 to 8,000
MAX_CANDIDATES = 64
SENDS = ("sendonly", "sendrecv")

# What aiortc raises for what is no SDP, or not the SDP it expects: it has no error type for that.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, AssertionError, StopIteration, RuntimeError)


class OfferError(Exception):
    """This offer is not taken. `status` is HTTP's, `code` for programs, the text one sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def check_offer(sdp: str, max_tracks: int) -> SessionDescription:
    """The offer, understood. Raises `OfferError` unless it sends sound, and perhaps pictures, in a form we take."""
    offer = _parse(sdp)
    if not offer.media:
        raise _bad("The offer has no media section: send audio, and video if you like.")
    if len(offer.media) > max_tracks:
        raise OfferError(422, "too_many_tracks", f"A publisher may have {max_tracks} tracks, not {len(offer.media)}.")
    mids = [media.rtp.muxId for media in offer.media]
    bundles = [group.items for group in offer.group if group.semantic == "BUNDLE"]
    if len(set(mids)) < len(mids) or (len(mids) > 1 and sorted(mids) != sorted(map(str, sum(bundles, [])))):
        raise _bad("All media sections of the offer need an a=mid of their own and to be in one BUNDLE group.")
    if sum(len(media.ice_candidates) for media in offer.media) > MAX_CANDIDATES:
        raise _bad(f"The offer has more than {MAX_CANDIDATES} ICE candidates.")
    for media in offer.media:
        _check_media(media)
    if not any(media.kind == "audio" and media.direction in SENDS for media in offer.media):
        raise OfferError(422, "no_audio", "The offer sends no audio: a turn is what is spoken.")
    return offer


def _parse(sdp: str) -> SessionDescription:
    if not sdp.startswith("v=0"):
        raise _bad("The body is no SDP: it begins with v=0.")
    try:
        return SessionDescription.parse(sdp)
    except MALFORMED as error:
        raise _bad("The offer is no SDP that can be understood.") from error


def _check_media(media: MediaDescription) -> None:
    if media.kind not in ("audio", "video"):
        raise OfferError(422, "unsupported_kind", f"Audio and video are taken, not {media.kind[:40]!r}.")
    if not (media.ice and media.ice.usernameFragment and media.ice.password):
        raise _bad("The offer has no ICE user name or password (a=ice-ufrag, a=ice-pwd).")
    if media.dtls is None or not media.dtls.fingerprints:
        raise _bad("The offer has no DTLS fingerprint or role (a=fingerprint, a=setup).")
    if not media.rtcp_mux:
        raise _bad("The offer needs a=rtcp-mux: one port carries it all.")
    try:
        common = find_common_codecs(CODECS[media.kind], media.rtp.codecs)
    except MALFORMED as error:
        raise _bad("The offer's a=fmtp lines cannot be understood.") from error
    if all(is_rtx(codec) for codec in common):
        wanted = "Opus, G.722, PCMU and PCMA" if media.kind == "audio" else "VP8 and H.264"
        raise OfferError(422, "unsupported_codec", f"The {media.kind} codecs taken are {wanted}; it offers none.")


def _bad(message: str) -> OfferError:
    return OfferError(400, "bad_sdp", message)
