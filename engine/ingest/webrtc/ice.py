"""STUN and TURN servers: parsed from a setting, for aiortc and for WHIP clients."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from engine.runtime.host_name import HostName

LOOK_UP_S = 2.0  # a publisher waits for it

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server. `url` is as in RFC 7064 and 7065, without the credentials."""

    url: str
    username: str | None = None
    password: str | None = None
    name: HostName | None = field(default=None, compare=False)

    async def for_peer(self) -> RTCIceServer | None:
        """With the IPv4 address in place of the host's name, except for TLS, which checks it. None without one."""
        scheme, _, address = self.url.partition(":")
        host = str(parse_stun_turn_uri(self.url)["host"])
        try:
            found = await (self.name or HostName(host)).addresses(LOOK_UP_S)
        except OSError as error:
            log.warning("the ICE server %s is left out: %s", self.url, error)
            return None
        usable = [it for it in found if ":" not in it]  # aioice asks by IPv4 alone
        if not usable:
            return None
        url = self.url if scheme == "turns" else f"{scheme}:{address.replace(host, usable[0], 1)}"
        return RTCIceServer(url, self.username, self.password)

    def link(self) -> str:
        """The `Link` header that announces the server to a WHIP client (RFC 9725, section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username is None:
            return link
        return f'{link}; username="{self.username}"; credential="{self.password}"; credential-type="password"'


async def reachable(servers: Sequence[IceServer]) -> list[RTCIceServer]:
    """Those whose names a name server knows; the call is set up without the others."""
    found = await asyncio.gather(*(server.for_peer() for server in servers))
    return [server for server in found if server]


def parse_ice_servers(setting: str) -> list[IceServer]:
    """Servers from `stun:host:port turn:user:password@host:port?transport=udp`. Raises ValueError."""
    return [_parse(word) for word in setting.split()]


def _parse(word: str) -> IceServer:
    scheme, _, rest = word.partition(":")
    credentials, at, address = rest.rpartition("@")
    username, colon, password = credentials.partition(":")
    url = f"{scheme}:{address}"
    try:
        name = HostName(parse_stun_turn_uri(url)["host"])
    except ValueError as error:
        raise ValueError(f"ice_servers takes stun:host:port and turn:user:password@host:port, not {word!r}") from error
    if scheme.startswith("turn") != bool(colon) or '"' in credentials or (at and not username):
        raise ValueError(f"ice_servers: a turn server needs user:password@, a stun server none: {word!r}")
    return IceServer(url, username, password, name) if colon else IceServer(url, name=name)
