"""Addresses of brokers, and TLS. No sockets."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from engine.errors import EngineError

_SCHEMES = {"mqtt": 1883, "mqtts": 8883}


class BrokerError(EngineError):
    """The settings of a broker are wrong. The message does not contain its password."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker. `name` is for people, logs and the outbox."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def parse_brokers(text: str) -> list[Broker]:
    """Comma-separated URLs: `mqtt://user:password@host:1883`, `mqtts://host`. Raises BrokerError."""
    brokers = [_parse(part.strip()) for part in text.split(",") if part.strip()]
    names = [broker.name for broker in brokers]
    if len(set(names)) < len(names):
        raise BrokerError(f"mqtt names the same broker twice: {', '.join(names)}")
    return brokers


def _parse(text: str) -> Broker:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise BrokerError(f"mqtt: the address of a broker is not valid: {error}") from error
    if url.scheme not in _SCHEMES or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise BrokerError("mqtt: a broker is mqtt://host, mqtts://host or mqtt://user:password@host:1883")
    username = None if url.username is None else unquote(url.username)
    password = None if url.password is None else unquote(url.password)
    return Broker(url.hostname, port or _SCHEMES[url.scheme], url.scheme == "mqtts", username, password)


def tls_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Trusts the system's authorities, or only `ca`. Sends `certificate` if it is set. Raises BrokerError."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"mqtt_ca, mqtt_cert or mqtt_key cannot be used: {error}") from error
    return context
