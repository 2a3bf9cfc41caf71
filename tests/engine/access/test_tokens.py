import time

import jwt
import pytest

from engine.access.keys import KEEP_KEYS, Keys, new_key
from engine.access.tokens import SCOPES, AccessError, Grant, Verifier, issue, new_grant

KEYS = Keys((new_key(),))
REQUIRED = ("exp", "jti", "scope", "conversation")
ALICE = new_grant(frozenset({"publish", "listen"}), "support-*", "alice", days=30)


def verified(token: str, keys: Keys = KEYS) -> Grant:
    return Verifier(lambda: keys)(token)


def refusal(token: str, keys: Keys = KEYS) -> str:
    with pytest.raises(AccessError) as caught:
        verified(token, keys)
    assert caught.value.status == 401
    return str(caught.value)


def test_a_token_says_what_its_grant_says() -> None:
    found = verified(issue(KEYS, ALICE))
    assert found == Grant(ALICE.id, ALICE.scopes, "support-*", "alice", float(int(ALICE.expires_s or 0)))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("publish", "support-1", "alice"), None),
        (("listen", "support-"), None),
        (("publish", "support-1", "bob"), 403),
        (("listen", "sales-1"), 403),
        (("listen", "my-support-1"), 403),
        (("history", "support-1"), 403),
        (("all",), 403),
    ],
)
def test_a_grant_allows_its_scopes_in_its_conversations_as_its_speaker(asked: tuple, status: int | None) -> None:
    if status is None:
        ALICE.check(*asked)
        return
    with pytest.raises(AccessError) as caught:
        ALICE.check(*asked)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("a.c", "abc"), ("a[bc]", "ab"), ("a?", "ab"), ("a*c", "a\nc d"), ("a", "a\n")],
)
def test_only_the_asterisk_is_special(pattern: str, name: str) -> None:
    with pytest.raises(AccessError):
        Grant("1", frozenset(SCOPES), pattern).check("listen", name)
    Grant("1", frozenset(SCOPES), pattern).check("listen", pattern.replace("*", "bb"))


def test_forged_tokens_are_refused() -> None:
    good = issue(KEYS, ALICE)
    header, claims, signature = good.split(".")
    stolen = jwt.decode(good, options={"verify_signature": False})
    kid = {"kid": KEYS.signing[0].id}

    def signed(claims: dict) -> str:
        return jwt.encode(claims, KEYS.signing[0].secret, "HS256", headers=kid)

    forged = [
        "", "x", good[:-2], f"{header}.{claims}.", f"{header}.{claims[:-2]}AA.{signature}", "a" * 100_000,
        jwt.encode(stolen, "", "none", headers=kid),
        jwt.encode(stolen, "x" * 32, "HS256", headers=kid),
        jwt.encode(stolen, KEYS.signing[0].secret, "HS512", headers=kid),
        jwt.encode(stolen, KEYS.signing[0].secret, "HS256", headers={"kid": "other"}),
        signed({**stolen, "iss": "another"}),
        *(signed({key: value for key, value in stolen.items() if key != missing}) for missing in REQUIRED),
    ]  # fmt: skip
    assert {refusal(token).partition(" ")[0] for token in forged} == {"This"}


def test_tokens_expire_can_be_withdrawn_and_outlive_two_rotations_of_keys() -> None:
    now = time.time()
    assert "expired" in refusal(issue(KEYS, new_grant(ALICE.scopes, "*", None, days=1, now_s=now - 86_401)))
    token = issue(KEYS, ALICE)
    assert "withdrawn" in refusal(token, KEYS.denying(ALICE.id, now + 60))
    assert KEYS.denying("old", now - 1).denying("new", now + 9).denied.keys() == {"new"}
    keys = KEYS
    for _ in range(KEEP_KEYS - 1):
        keys = keys.rotated()
        assert verified(token, keys).id == ALICE.id
        assert jwt.get_unverified_header(issue(keys, ALICE))["kid"] == keys.signing[0].id != KEYS.signing[0].id
    assert "no longer used" in refusal(token, keys.rotated())


def test_scopes_of_later_versions_are_ignored() -> None:
    token = issue(KEYS, ALICE)
    claims = jwt.decode(token, options={"verify_signature": False}) | {"scope": "listen everything_new"}
    newer = jwt.encode(claims, KEYS.signing[0].secret, "HS256", headers={"kid": KEYS.signing[0].id})
    assert verified(newer).scopes == {"listen"}
