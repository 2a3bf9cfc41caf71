"""Errors that are raised. `subscribe` handles lost connections itself."""


class ClientError(Exception):
    """Base of this package's errors. Its text is one sentence for users."""


class RefusedError(ClientError):
    """The engine refused the request, and would again. `code` is for programs: "bad_name", "speaker_taken", …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectionLostError(ClientError):
    """The engine could not be reached, or the connection was lost while sending audio."""
