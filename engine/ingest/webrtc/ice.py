"""STUN and TURN servers: parsed from a setting, for aiortc and for WHIP clients."""

from dataclasses import dataclass

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server. `url` is as in RFC 7064 and 7065, without the credentials."""

    url: str
    username: str | None = None
    password: str | None = None

    def for_peer(self) -> RTCIceServer:
        return RTCIceServer(self.url, self.username, self.password)

    def link(self) -> str:
        """The `Link` header that announces the server to a WHIP client (RFC 9725, section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username is None:
            return link
        return f'{link}; username="{self.username}"; credential="{self.password}"; credential-type="password"'


def parse_ice_servers(setting: str) -> list[IceServer]:
    """Servers from `stun:host:port turn:user:password@host:port?transport=udp`. Raises ValueError."""
    return [_parse(word) for word in setting.split()]


def _parse(word: str) -> IceServer:
    scheme, _, rest = word.partition(":")
    credentials, at, address = rest.rpartition("@")
    username, colon, password = credentials.partition(":")
    url = f"{scheme}:{address}"
    try:
        parse_stun_turn_uri(url)
    except ValueError as error:
        raise ValueError(f"ice_servers takes stun:host:port and turn:user:password@host:port, not {word!r}") from error
    if scheme.startswith("turn") != bool(colon) or '"' in credentials or (at and not username):
        raise ValueError(f"ice_servers: a turn server needs user:password@, a stun server none: {word!r}")
    return IceServer(url, username, password) if colon else IceServer(url)
