import os
from pathlib import Path

import pytest

from engine.config import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _empty_surroundings(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("CBERL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_flags_override_environment_file_and_defaults_in_this_order(monkeypatch):
    Path("cberl.toml").write_text("port = 1\nend_silence_ms = 300\nmax_sessions = 2\n")
    monkeypatch.setenv("CBERL_PORT", "2")
    monkeypatch.setenv("CBERL_END_SILENCE_MS", "400")
    settings = load_settings({"port": 3, "device": None})
    assert (settings.port, settings.end_silence_ms, settings.max_sessions) == (3, 400, 2)
    assert (settings.device, settings.host) == ("auto", "127.0.0.1")


def test_a_named_file_is_read_instead_of_the_one_in_the_working_directory():
    Path("cberl.toml").write_text("port = 1\nmax_tracks = 2\n")
    Path("other.toml").write_text("port = 4\n")
    settings = load_settings(config_file=Path("other.toml"))
    assert (settings.port, settings.max_tracks) == (4, 8)


def test_printed_settings_are_loaded_again():
    flags = {"checkpoint": 'a "b"\\\x7f é', "insecure": True, "rejoin_grace_s": 0.25, "host": "0.0.0.0"}
    settings = load_settings(flags)
    Path("printed.toml").write_text(settings.to_toml(), encoding="utf-8")
    assert load_settings(config_file=Path("printed.toml")).model_dump() == settings.model_dump()


@pytest.mark.parametrize(
    ("flags", "environment", "file", "sentences"),
    [
        ({}, {}, "prot = 1", ["cberl.toml: key 'prot' is unknown; did you mean 'port'?"]),
        ({}, {}, "[xyz]\nport = 1", ["cberl.toml: key 'xyz' is unknown; --print-config shows them all."]),
        ({}, {"CBERL_MAXTURN": "1"}, "", ["environment variable 'CBERL_MAXTURN' is unknown; "
                                          "did you mean 'CBERL_MAX_TURN_S'?"]),
        ({"por": 1}, {}, "", ["setting 'por' is unknown; did you mean 'port'?"]),
        ({"device": "gpu"}, {"CBERL_PORT": "x"}, "max_tracks = 0", [
            "CBERL_PORT should be a valid integer, unable to parse string as an integer, not 'x'.",
            "--device should be 'auto', 'cpu' or 'cuda', not 'gpu'.",
            "cberl.toml: max_tracks should be greater than or equal to 1, not 0.",
        ]),
        ({}, {}, "port = x", ["cberl.toml: is not valid TOML: Invalid value (at line 1, column 8)."]),
    ],
)  # fmt: skip
def test_each_problem_is_a_sentence_that_names_key_and_source(monkeypatch, flags, environment, file, sentences):
    Path("cberl.toml").write_text(file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    assert str(caught.value).splitlines() == sentences


def test_a_named_file_must_exist():
    with pytest.raises(SettingsError, match=r"^nowhere\.toml: cannot be read: No such file or directory\.$"):
        load_settings(config_file=Path("nowhere.toml"))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org"])
def test_a_host_that_others_can_reach_must_be_requested(host):
    with pytest.raises(SettingsError, match=f"host {host} can be reached .* --tls-cert .* --insecure"):
        load_settings({"host": host})
    assert load_settings({"host": host, "insecure": True}).host == host
    assert load_settings({"host": host, "tls_cert": "cert.pem", "tls_key": "key.pem"}).host == host
    with pytest.raises(SettingsError, match="tls_cert and tls_key belong together"):
        load_settings({"host": host, "tls_cert": "cert.pem"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_loopback_is_accepted(host):
    assert load_settings({"host": host}).host == host


def test_the_variable_of_the_tests_is_not_a_setting(monkeypatch):
    monkeypatch.setenv("CBERL_SHARED", "/somewhere")
    assert load_settings().port == 8765


def test_a_disclosure_needs_a_text_in_its_language() -> None:
    with pytest.raises(SettingsError, match=r"no bundled disclosure in it: give .* de, en, es, fr\."):
        load_settings({"disclosure_locale": "it"})
    assert load_settings({"disclosure_locale": "it", "disclosure_text": "Analisi delle emozioni."}).disclosure_text
