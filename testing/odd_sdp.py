"""SDP offers changed in every way that a text can be, with hypothesis."""

import asyncio

from hypothesis import strategies as st

from testing.whip_client import Camera, Voice, offer_of, peer, plain

NUMBERS = ("", "0", "-1", "1", "65535", "65536", "4294967296", "9" * 30, "1e9", "0x10", "٣", "nan")
WORDS = (
    *("audio", "video", "application", "UDP/TLS/RTP/SAVPF", "opus/48000/2", "VP8/90000", "H264/90000", "rtx/90000"),
    *("sendrecv", "inactive", "active", "passive", "actpass", "holdconn", "sha-256", "sha-1", "BUNDLE", "IN", "IP4"),
    *("host", "relay", "tcp", "udp", "typ", "0.0.0.0", "::1", "127.0.0.1", "x.local", "*", ":", "=", "/", " "),
)
KEYS = ("v", "o", "s", "t", "c", "m", "a", "b", "z", "")


async def browser_offer(*, video: bool = True) -> str:
    """An offer of audio and video, as a browser makes one."""
    tracks = [Voice(plain((0, 0, 0)).astype("f4").ravel()[:160])] + ([Camera(())] if video else [])
    connection = peer(*tracks)
    try:
        return await offer_of(connection)
    finally:
        await connection.close()


OFFER = asyncio.run(browser_offer())
LINES = OFFER.splitlines()

_token = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=12))


@st.composite
def _mutation(draw: st.DrawFn, lines: list[str]) -> list[str]:
    at = draw(st.integers(0, max(0, len(lines) - 1)))
    line = lines[at] if lines else ""
    match draw(st.sampled_from(("drop", "repeat", "swap", "token", "character", "cut", "insert", "value"))):
        case "drop":
            return lines[:at] + lines[at + 1 :]
        case "repeat":
            return lines[: at + 1] + [line] * draw(st.integers(1, 3)) + lines[at + 1 :]
        case "swap":
            other = draw(st.integers(0, max(0, len(lines) - 1)))
            changed = list(lines)
            if lines:
                changed[at], changed[other] = changed[other], changed[at]
            return changed
        case "token":
            parts = line.split(" ")
            parts[draw(st.integers(0, len(parts) - 1))] = draw(_token)
            return [*lines[:at], " ".join(parts), *lines[at + 1 :]]
        case "value":
            key = line.partition(":")[0]
            return [*lines[:at], f"{key}:{draw(_token)}", *lines[at + 1 :]]
        case "character":
            position = draw(st.integers(0, len(line)))
            return [*lines[:at], line[:position] + draw(st.text(max_size=2)) + line[position + 1 :], *lines[at + 1 :]]
        case "cut":
            return [*lines[:at], line[: draw(st.integers(0, len(line)))]]
        case _:
            return [*lines[:at], f"{draw(st.sampled_from(KEYS))}={draw(_token)}:{draw(_token)}", *lines[at:]]


@st.composite
def odd_offers(draw: st.DrawFn) -> str:
    """An offer with one to four changes."""
    lines = LINES
    for _ in range(draw(st.integers(1, 4))):
        lines = draw(_mutation(lines))
    return "\r\n".join(lines) + "\r\n"
