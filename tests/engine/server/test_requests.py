import pytest

from engine.errors import EngineError
from engine.server.requests import RequestPolicy, trusted_proxies

HERE = "127.0.0.1:8765"


@pytest.mark.parametrize(
    ("bound", "host", "code"),
    [
        ("127.0.0.1", HERE, None),
        ("127.0.0.1", "localhost", None),
        ("127.0.0.1", "LOCALHOST.:1", None),
        ("127.0.0.1", "[::1]:8765", None),
        ("127.0.0.1", "127.0.0.1.evil.example", "forbidden_host"),
        ("127.0.0.1", "evil.example:8765", "forbidden_host"),
        ("127.0.0.1", "192.0.2.1", "forbidden_host"),
        ("127.0.0.1", "", "forbidden_host"),
        ("127.0.0.1", "voice.example", None),
        ("192.0.2.1", "192.0.2.1:8765", None),
        ("192.0.2.1", "evil.example", "forbidden_host"),
        ("0.0.0.0", "192.0.2.1:8765", None),
        ("0.0.0.0", "evil.example", "forbidden_host"),
        ("::", "[2001:db8::1]:8765", None),
        ("engine.lan", "engine.lan:8765", None),
    ],
)
def test_hosts_are_on_a_list(bound: str, host: str, code: str | None) -> None:
    refusal = RequestPolicy(bound, "voice.example, Other.example", "").refusal(host, None)
    assert (refusal and refusal.code) == code


@pytest.mark.parametrize(
    ("allowed", "origin", "code"),
    [
        ("", None, None),
        ("", f"http://{HERE}", None),
        ("", f"https://{HERE}", None),
        ("", "http://127.0.0.1:9000", "forbidden_origin"),
        ("", "https://evil.example", "forbidden_origin"),
        ("", "null", "forbidden_origin"),
        ("", "", "forbidden_origin"),
        ("https://good.example", "https://good.example", None),
        ("https://good.example", "https://good.example.evil", "forbidden_origin"),
        ("*", "https://evil.example", None),
    ],
)
def test_origins_are_the_engine_s_own_and_the_allowed_one(allowed: str, origin: str | None, code: str | None) -> None:
    refusal = RequestPolicy("127.0.0.1", "", allowed).refusal(HERE, origin)
    assert (refusal and refusal.code) == code


def test_proxies_are_trusted_by_address_and_network() -> None:
    trusted = trusted_proxies("127.0.0.1, 10.0.0.0/8")
    assert [trusted(host) for host in ("127.0.0.1", "10.1.2.3", "127.0.0.2", "unix")] == [True, True, False, False]
    assert not trusted_proxies("")("127.0.0.1")
    with pytest.raises(EngineError, match="trusted_proxy takes addresses"):
        trusted_proxies("proxy.example")
