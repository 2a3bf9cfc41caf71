"""Passwords and certificates of a real broker."""

import asyncio
import subprocess

import pytest

from engine.config import Settings
from engine.runtime.backoff import Backoff
from engine.server.sinks import open_event_sinks
from testing.mosquitto import mosquitto, needs_mosquitto

pytestmark = needs_mosquitto


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(Backoff.__init__, "__defaults__", (0.05, 0.2))


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_passwords_and_certificates(tmp_path):
    keys, passwords = certificates(tmp_path), tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "me", "p@ss"], check=True, capture_output=True)

    async def main():
        settings = f"cafile {keys / 'ca.pem'}\ncertfile {keys / 'it.pem'}\nkeyfile {keys / 'it.key'}\n"
        settings += f"require_certificate true\nallow_anonymous false\npassword_file {passwords}"
        async with mosquitto(tmp_path / "broker", settings) as broker:
            url, files = f"mqtts://me:p%40ss@localhost:{broker.port}", {"mqtt_ca": str(keys / "ca.pem")}
            mine = files | {"mqtt_cert": str(keys / "it.pem"), "mqtt_key": str(keys / "it.key")}
            assert await state_of(Settings(mqtt=url, **mine)) == "connected"
            assert "not authori" in (await state_of(Settings(mqtt=url.replace("p%40ss", "no"), **mine))).lower()
            assert "CERTIFICATE_VERIFY_FAILED" in await state_of(Settings(mqtt=url))

    asyncio.run(main())


async def state_of(settings):
    """ "connected", or the problem."""
    async with open_event_sinks(settings) as sinks:
        while True:
            (status,) = sinks.status()["brokers"].values()
            if status["connected"] or status["problem"] != "not connected yet":
                return "connected" if status["connected"] else status["problem"]
            await asyncio.sleep(0.01)


def certificates(folder):
    """An authority, and a certificate for both localhost and the client."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "it.key", "-out", "it.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    openssl("x509", "-req", "-in", "it.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "it.pem",
            "-extfile", "names")  # fmt: skip
    return folder
