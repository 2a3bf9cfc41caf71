"""Authentication as the settings ask for it."""

from engine.access.guard import Access
from engine.access.keys import Keys, KeyWatcher, key_file, load_keys, new_key
from engine.access.tokens import SCOPES, Verifier, issue, new_grant
from engine.config import Settings

ADMIN_DAYS = 365.0


def open_access(settings: Settings) -> tuple[Access, str | None]:
    """(what authenticates requests, a token for everything where the keys are new). Raises KeyFileError."""
    if settings.no_auth:
        return Access(None), None
    path = key_file(settings.keys)
    keys, created = load_keys(path)
    return Access(Verifier(KeyWatcher(path, keys))), admin_token(keys) if created else None


def temporary_access() -> tuple[Access, str]:
    """For one run: keys that are nowhere stored, and a token for everything."""
    keys = Keys((new_key(),))
    return Access(Verifier(lambda: keys)), admin_token(keys)


def admin_token(keys: Keys) -> str:
    return issue(keys, new_grant(frozenset(SCOPES), "*", None, ADMIN_DAYS))
