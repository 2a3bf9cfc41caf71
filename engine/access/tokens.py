"""Tokens: signed statements of what their holder may do (JWT, RFC 7519, HS256). No sockets, no files."""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jwt

from engine.access.keys import Keys
from engine.errors import EngineError
from engine.names import ALL_CONVERSATIONS

# publish: media and captions; listen: events of the token's conversations; all: the list of conversations and events
# of all at once; history: stored events; delete: conversations; metrics: the state of the engine.
Scope = Literal["publish", "listen", "all", "history", "delete", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ALGORITHM = "HS256"
ISSUER = "cberl"
MAX_TOKEN_BYTES = 4096
DAY_S = 86_400.0
MAX_EXPIRY_S = 1e15  # since 1970; more is no time


class AccessError(EngineError):
    """The request is refused. `status` as in HTTP: 401 without a valid token, 403 where the token does not allow it."""

    def __init__(self, status: Literal[401, 403], message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = "unauthorized" if status == 401 else "forbidden"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows. `conversations` may have `*` for any part of a name; `speaker` None: any."""

    id: str
    scopes: frozenset[Scope]
    conversations: str = ALL_CONVERSATIONS
    speaker: str | None = None
    expires_s: float | None = None  # since 1970

    def check(self, scope: Scope, conversation: str | None = None, speaker: str | None = None) -> None:
        """Raises AccessError unless the scope is granted, in this conversation, as this speaker."""
        if scope not in self.scopes:
            raise AccessError(403, f"This token does not allow {scope!r}.")
        if conversation is not None and not _matches(self.conversations, conversation):
            raise AccessError(403, f"This token is for {self.conversations}, not for {conversation[:64]}.")
        if speaker is not None and self.speaker not in (None, speaker):
            raise AccessError(403, f"This token is for the speaker {self.speaker}, not for {speaker[:64]}.")


EVERYTHING = Grant("nobody", frozenset(SCOPES))  # where there is no authentication


def issue(keys: Keys, grant: Grant) -> str:
    """A token with this grant, which must have an expiry."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "jti": grant.id,
        "exp": int(grant.expires_s or 0),
        "scope": " ".join(scope for scope in SCOPES if scope in grant.scopes),
        "conversation": grant.conversations,
    }
    if grant.speaker is not None:
        claims["speaker"] = grant.speaker
    signing = keys.signing[0]
    return jwt.encode(claims, signing.secret, ALGORITHM, headers={"kid": signing.id})


def new_grant(
    scopes: frozenset[Scope], conversations: str, speaker: str | None, days: float, now_s: float | None = None
) -> Grant:
    """A grant with a new id that expires after so many days."""
    expires_s = (time.time() if now_s is None else now_s) + days * DAY_S
    return Grant(secrets.token_hex(6), scopes, conversations, speaker, expires_s)


class Verifier:
    """Reads tokens with the present keys."""

    def __init__(self, keys: Callable[[], Keys]) -> None:
        self._keys = keys

    def __call__(self, token: str) -> Grant:
        """Raises AccessError where the token is not valid now."""
        if len(token) > MAX_TOKEN_BYTES:
            raise AccessError(401, "This is not a token of this engine.")
        keys = self._keys()
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            secret = next((key.secret for key in keys.signing if key.id == key_id), None)
            if secret is None:
                raise AccessError(401, "This token was signed with a key that is no longer used: ask for another.")
            options: Any = {"require": ["exp", "jti", "scope", "conversation"]}
            claims = jwt.decode(token, secret, [ALGORITHM], options=options, issuer=ISSUER)
        except jwt.ExpiredSignatureError as error:
            raise AccessError(401, "This token has expired: ask for another.") from error
        except jwt.InvalidTokenError as error:
            raise AccessError(401, "This is not a token of this engine.") from error
        token_id, scope, conversations = claims["jti"], claims["scope"], claims["conversation"]
        speaker = claims.get("speaker")
        texts = (token_id, scope, conversations, "" if speaker is None else speaker)
        if not (all(isinstance(it, str) for it in texts) and 0 < claims["exp"] < MAX_EXPIRY_S):
            raise AccessError(401, "This is not a token of this engine.")
        if token_id in keys.denied:
            raise AccessError(401, "This token was withdrawn.")
        scopes = frozenset(it for it in SCOPES if it in scope.split())
        return Grant(token_id, scopes, conversations, speaker, float(claims["exp"]))


def _matches(pattern: str, name: str) -> bool:
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), name, re.DOTALL) is not None
