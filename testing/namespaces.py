"""A network of this machine's own: namespaces whose wires lose, delay, reorder and cut packets, as `tc netem` does.

    with network("client") as (server, wires):
        wires["client"].loss = 0.1
        subprocess.run([*server.inside, "…"])

A wire is a TUN device at each end, and a thread here that passes packets between them: it needs no module of the
kernel, which `netem` does, and the system's own TCP is at both ends. Needs Linux, root and /dev/net/tun.
"""

import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count

TUN = "/dev/net/tun"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500

_numbers = count()


@dataclass(frozen=True)
class Namespace:
    """`inside` precedes a command that runs in it."""

    name: str

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


@dataclass
class Wire:
    """Between a client and the server, whose addresses on it these are. Set its faults at any time."""

    number: int
    client: Namespace
    loss: float = 0.0  # of the packets, in each direction
    jitter_s: float = 0.0  # each packet is late by up to this, independently, and may overtake others
    cut: bool = False
    lost: int = 0
    passed: int = 0
    last_host: int = field(default=2)

    @property
    def server_address(self) -> str:
        return f"10.77.{self.number}.1"

    @property
    def device(self) -> str:
        return f"cberl-c{self.number}"

    def change_address(self) -> None:
        """The client has another from now on. Its connections are dead: nobody says so to either end."""
        old, self.last_host = self.last_host, self.last_host + 1
        _ip("-n", self.client.name, "addr", "del", f"10.77.{self.number}.{old}/24", "dev", self.device)
        _ip("-n", self.client.name, "addr", "add", f"10.77.{self.number}.{self.last_host}/24", "dev", self.device)


def unavailable() -> str | None:
    """Why there can be no network of our own here, or None."""
    if not os.path.exists(TUN):
        return f"no {TUN} here"
    name = f"cberl-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except FileNotFoundError:
        return "no `ip` here: install iproute2"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.decode().strip()}"
    return None


@contextmanager
def network(*clients: str) -> Iterator[tuple[Namespace, dict[str, Wire]]]:
    """Yields the server's namespace, and a wire to each client's."""
    with ExitStack() as stack:
        server = stack.enter_context(_namespace("server"))
        wires: dict[str, Wire] = {}
        ends: list[tuple[Wire, int, int]] = []
        for number, name in enumerate(clients, start=1):
            wire = wires[name] = Wire(number, stack.enter_context(_namespace(name)))
            at_client = stack.enter_context(_tun(wire.device, wire.client, f"10.77.{number}.2/24"))
            at_server = stack.enter_context(_tun(f"cberl-s{number}", server, f"10.77.{number}.1/24"))
            ends.append((wire, at_client, at_server))
        stack.enter_context(_passing(ends))
        yield server, wires


@contextmanager
def _namespace(name: str) -> Iterator[Namespace]:
    made = Namespace(f"cberl-{os.getpid()}-{next(_numbers)}-{name}")
    _ip("netns", "add", made.name)
    try:
        _ip("-n", made.name, "link", "set", "lo", "up")
        yield made
    finally:
        _ip("netns", "del", made.name)


@contextmanager
def _tun(device: str, namespace: Namespace, address: str) -> Iterator[int]:
    """The descriptor of a device in the namespace. Packets that are sent to it can be read here."""
    descriptor = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        _ip("link", "set", device, "netns", namespace.name)
        _ip("-n", namespace.name, "addr", "add", address, "dev", device)
        _ip("-n", namespace.name, "link", "set", device, "mtu", str(MTU), "up")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _passing(ends: Sequence[tuple[Wire, int, int]]) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=_pass, args=(ends, over), name="wires", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _pass(ends: Sequence[tuple[Wire, int, int]], over: threading.Event) -> None:
    rng = random.Random(0)
    late: list[tuple[float, int, int, bytes]] = []  # (due, number, to, packet)
    with selectors.DefaultSelector() as selector:
        for wire, at_client, at_server in ends:
            selector.register(at_client, selectors.EVENT_READ, (wire, at_server))
            selector.register(at_server, selectors.EVENT_READ, (wire, at_client))
        for number in count():
            if over.is_set():
                return
            wait_s = max(0.0, late[0][0] - time.monotonic()) if late else 0.05
            for key, _ in selector.select(min(wait_s, 0.05)):
                wire, to = key.data
                packet = os.read(key.fd, 65_536)
                if wire.cut or rng.random() < wire.loss:
                    wire.lost += 1
                    continue
                wire.passed += 1
                heapq.heappush(late, (time.monotonic() + rng.uniform(0, wire.jitter_s), number, to, packet))
            while late and late[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(late)
                os.write(to, packet)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
