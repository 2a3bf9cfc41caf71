import re

import pytest

from engine.config import Settings
from engine.webhooks.endpoint import WebhookError, check_settings, parse_endpoints, parse_events, parse_secrets

SECRET = "whsec_" + "A" * 44


def test_the_name_of_an_endpoint_hides_its_path_and_its_password():
    one, other = parse_endpoints("https://me:pass@hooks.example/secret, http://hooks.example:8080/?key=1")
    assert re.fullmatch(r"hooks\.example [0-9a-f]{8}", one.name)
    assert one.name != other.name
    assert "secret" not in repr(one)
    assert (one.encrypted, other.encrypted) == (True, False)


@pytest.mark.parametrize(
    "text",
    ["hooks.example", "ftp://a", "http://a:0", "http://a:99999", "http://a/#x", "http://a b", "http://["],
)
def test_what_is_no_address_is_refused_without_being_repeated(text):
    with pytest.raises(WebhookError) as refused:
        parse_endpoints(text)
    assert text not in str(refused.value)


def test_settings_that_cannot_work_are_refused_at_the_start():
    check_settings(Settings())
    check_settings(Settings(webhook="http://a/", webhook_secret=SECRET))
    for wrong, says in (
        ({"webhook": "http://a/"}, "webhook needs a secret"),
        ({"webhook": "http://a/", "webhook_secret": "whsec_abc"}, "webhook_secret is whsec_ and the base64"),
        ({"webhook": "http://a/", "webhook_secret": "pass word"}, "webhook_secret is whsec_ and the base64"),
        ({"webhook": "http://a/,http://a/", "webhook_secret": SECRET}, "the same address twice"),
        ({"webhook": "http://a/", "webhook_secret": SECRET, "webhook_events": "finals"}, "not 'finals'"),
    ):
        with pytest.raises(WebhookError, match=re.escape(says)) as refused:
            check_settings(Settings(**wrong))
        assert "pass word" not in str(refused.value)
    assert len(parse_secrets(f"{SECRET} {SECRET[6:]}")) == 2
    assert parse_events(" change, final ") == {"final", "change"}


def test_the_secret_is_neither_printed_nor_a_flag():
    settings = Settings(webhook="http://a/", webhook_secret=SECRET)
    assert SECRET not in settings.to_toml()
    assert SECRET not in repr(settings)
