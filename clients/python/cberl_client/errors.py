"""What can go wrong beyond repair. What time repairs, `subscribe` repairs by itself."""


class ClientError(Exception):
    """One sentence for people."""


class RefusedError(ClientError):
    """The engine said no; to ask again would not help. `code` is for programs: "bad_name", "speaker_taken", …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConnectionLostError(ClientError):
    """The engine could not be reached, or hung up while audio was being sent."""
