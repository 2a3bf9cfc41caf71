"""The address of a broker."""

from urllib.parse import SplitResult, urlsplit


def parse_broker(url: str) -> SplitResult:
    """Raises ValueError where `url` is not the address of a broker."""
    broker = urlsplit(url)
    try:
        port_given = broker.port is None or broker.port > 0
    except ValueError:  # not a number, or too large
        port_given = False
    if broker.scheme not in ("mqtt", "mqtts") or not broker.hostname or not port_given:
        raise ValueError("a broker is mqtt://host or mqtts://user:password@host:8883")
    return broker
