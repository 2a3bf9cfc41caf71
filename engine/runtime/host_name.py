"""Looks up the addresses of a host with a deadline. The name server may never answer, and the system waits for it."""

import asyncio
import ipaddress
import socket

from engine.runtime.daemon_thread import DaemonThread

LOOK_UP_S = 5.0


class HostName:
    """Looked up again at each use. However often that is, at most one thread waits for the name server."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._looking_up: asyncio.Future[list[str]] | None = None

    async def addresses(self, within_s: float = LOOK_UP_S) -> list[str]:
        """IP addresses, the preferred one first. Raises OSError, also where no answer comes in time."""
        if _is_address(self._host):
            return [self._host]
        if self._looking_up is None or self._looking_up.done():
            thread: DaemonThread[list[str]] = DaemonThread("look up a name")
            self._looking_up = thread.call(self._look_up)
            self._looking_up.add_done_callback(_retrieve)
            thread.end()
        await asyncio.wait([self._looking_up], timeout=within_s)
        if not self._looking_up.done():
            raise TimeoutError(f"no name server has answered for {self._host} within {within_s:g} s")
        return self._looking_up.result()

    def _look_up(self) -> list[str]:
        found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _retrieve(looked_up: asyncio.Future[list[str]]) -> None:
    """An error that comes too late is not reported."""
    if not looked_up.cancelled():
        looked_up.exception()
