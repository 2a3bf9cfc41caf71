"""Who asks: the token of a request, from its `Authorization` header or its cookie."""

import asyncio
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from starlette.requests import HTTPConnection
from starlette.responses import Response

from engine.access.tokens import EVERYTHING, AccessError, Grant, Scope

RECHECK_S = 5.0  # how often the token of an open connection is checked
NO_TOKEN = "A token is needed: open the link that `cberl serve` printed, or send `Authorization: Bearer TOKEN`."


class Access:
    """Authenticates requests. Without a `verify`, everybody may do everything."""

    def __init__(self, verify: Callable[[str], Grant] | None) -> None:
        self._verify = verify

    @property
    def required(self) -> bool:
        return self._verify is not None

    def grant(self, connection: HTTPConnection) -> Grant:
        """What the request's token allows. Raises AccessError."""
        return self.read(token_of(connection))

    def read(self, token: str | None) -> Grant:
        """What the token allows. Raises AccessError."""
        if self._verify is None:
            return EVERYTHING
        if not token:
            raise AccessError(401, NO_TOKEN)
        return self._verify(token)

    async def until_invalid(self, token: str | None) -> None:
        """Raises AccessError once the token has expired or was withdrawn."""
        while True:
            await asyncio.sleep(RECHECK_S)
            self.read(token)

    def check(
        self, connection: HTTPConnection, scope: Scope, conversation: str | None = None, speaker: str | None = None
    ) -> Grant:
        """The request's grant, which allows this. Raises AccessError."""
        grant = self.grant(connection)
        grant.check(scope, conversation, speaker)
        return grant


def token_of(connection: HTTPConnection) -> str | None:
    """The token in the header, else in the cookie. Tokens in addresses would be in logs and histories: not read."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    try:
        cookies = SimpleCookie(connection.headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(cookie_name(connection))
    return found.value if found else None


def cookie_name(connection: HTTPConnection) -> str:
    """One per port: browsers send the cookies of a host to all of its ports."""
    server = connection.scope.get("server") or ("", 0)
    return f"cberl_token_{server[1]}"


def set_cookie(connection: HTTPConnection, response: Response, token: str, grant: Grant) -> None:
    """Scripts cannot read it, and pages of other sites cannot have it sent."""
    age_s = 0 if grant.expires_s is None else max(0, int(grant.expires_s - time.time()))
    secure = connection.url.scheme == "https"
    response.set_cookie(cookie_name(connection), token, max_age=age_s, secure=secure, httponly=True, samesite="strict")
