"""Addresses of webhooks, and the secrets that sign what is sent to them. No sockets."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

import httpx2

from engine.config import Settings
from engine.errors import EngineError

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64  # of a secret
WebhookEvent = Literal["final", "change", "ended"]


class WebhookError(EngineError):
    """The settings of a webhook are wrong. The message has neither secrets nor what may be one in an address."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`name` is for people, logs and the outbox: host and digest, because the rest of an address is often a secret."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{urlsplit(self.url).hostname} {digest}"

    @property
    def encrypted(self) -> bool:
        return self.url.startswith("https:")


def parse_endpoints(text: str) -> list[Endpoint]:
    """Comma-separated addresses. Raises WebhookError."""
    endpoints = [_parse(part.strip()) for part in text.split(",") if part.strip()]
    if len({it.url for it in endpoints}) < len(endpoints):
        raise WebhookError("webhook names the same address twice")
    return endpoints


def parse_secrets(text: str) -> list[bytes]:
    """One secret, or several, separated by spaces, while receivers change to another. Raises WebhookError."""
    secrets = [_secret(part) for part in text.split()]
    if not secrets:
        raise WebhookError(
            "webhook needs a secret that signs what is sent: webhook_secret in cberl.toml, or CBERL_WEBHOOK_SECRET; "
            f"make one with: echo {PREFIX}$(openssl rand -base64 32)"
        )
    return secrets


def parse_events(text: str) -> frozenset[WebhookEvent]:
    """Raises WebhookError."""
    known: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
    asked = {part.strip() for part in text.split(",") if part.strip()}
    if not asked or asked - set(known):
        raise WebhookError(f"webhook_events is one or more of {', '.join(known)}, not {text!r}")
    return frozenset(it for it in known if it in asked)


def check_settings(settings: Settings) -> None:
    """Raises WebhookError where they cannot be used."""
    if parse_endpoints(settings.webhook):
        parse_secrets(settings.webhook_secret)
        parse_events(settings.webhook_events)


def signature(secrets: list[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature per secret, of which a receiver accepts any."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digests = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _parse(text: str) -> Endpoint:
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.fragment
        httpx2.URL(text)
    except (ValueError, httpx2.InvalidURL):
        usable = False
    if not usable or any(char.isspace() for char in text):
        raise WebhookError("webhook: an address is https://host/path or http://host:port/path")
    return Endpoint(text)


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not MIN_BYTES <= len(secret) <= MAX_BYTES:
        raise WebhookError(
            f"webhook_secret is {PREFIX} and the base64 of {MIN_BYTES} to {MAX_BYTES} random bytes; "
            f"make one with: echo {PREFIX}$(openssl rand -base64 32)"
        )
    return secret
