"""Connections are counted until they close, with and without TLS, whatever their end."""

import asyncio
import socket
import ssl
import struct
from pathlib import Path

import httpx
import pytest

from engine.server.listener import BUSY
from engine.server.tls import Certificate, TlsError
from testing.certificates import write_certificate
from testing.clock import HandClock
from testing.counting import END, rest, running, start, until, ws


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def reset(connection: socket.socket) -> None:
    """Close with RST, so that the address of the peer is gone before it is asked for."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def until_none(engine) -> None:
    async with asyncio.timeout(10):
        while len(engine.app.limits.connections) or len(engine.app.limits.sockets):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_however_a_connection_ends_its_place_is_free_again() -> None:
    async def main() -> None:
        async with running(request_timeout_s=0.5, first_media_s=0.5) as (engine, url):
            address = "127.0.0.1", port_of(url)
            for _ in range(20):
                reset(socket.create_connection(address))
            silent = socket.create_connection(address)
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.post("/healthz", content=b"x")).status_code == 405
            for path in ("/events?conversation=a", "/events", "/ingest?conversation=a"):
                async with ws(url, path) as client:
                    client.transport.abort()
            async with ws(url, "/ingest?conversation=a") as client:
                await client.send(start())
                await client.send(END)
                assert (await rest(client))[1] == 1000
            await until_none(engine)
            assert silent.recv(1) == b""
            silent.close()

    asyncio.run(main())


def test_connections_beyond_the_limit_are_told_and_others_go_on() -> None:
    async def main() -> None:
        async with running(max_connections=3) as (engine, url), ws(url, "/events?conversation=a") as client:
            address = "127.0.0.1", port_of(url)
            filling = [await asyncio.open_connection(*address) for _ in range(2)]
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == BUSY
            writer.close()
            await until(client, "snapshot")
            for _, one in filling:
                one.close()
            async with asyncio.timeout(10):
                while len(engine.app.limits.connections) > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                assert (await http.get("/healthz")).status_code == 200

    asyncio.run(main())


def test_tls_serves_pages_and_sockets_renews_its_certificate_and_counts_failed_handshakes(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path, "first")

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(cert))

    async def main() -> None:
        flags = {"tls_cert": str(cert), "tls_key": str(key), "request_timeout_s": 1.0}
        async with running(**flags) as (engine, url):
            assert url.startswith("https://127.0.0.1:")
            silent = socket.create_connection(("127.0.0.1", port_of(url)))  # begins no handshake
            plain = socket.create_connection(("127.0.0.1", port_of(url)))
            plain.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            async with httpx.AsyncClient(base_url=url, trust_env=False, verify=trusting()) as http:
                answer = await http.get("/")
                assert answer.status_code == 200
                assert "max-age" in answer.headers["Strict-Transport-Security"]
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                cookie = (await http.post("/session", headers={"Authorization": "Bearer x"})).headers["Set-Cookie"]
                assert "Secure" in cookie
            async with ws(url, "/events?conversation=a", ssl=trusting()) as client:
                await until(client, "snapshot")
                before = trusting()
                write_certificate(tmp_path, "second")
                await asyncio.sleep(1.1)  # the interval of its check
                with pytest.raises(httpx.ConnectError):
                    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=before) as http:
                        await http.get("/healthz")
                async with httpx.AsyncClient(base_url=url, trust_env=False, verify=trusting()) as http:
                    assert (await http.get("/healthz")).status_code == 200
                assert client.state.name == "OPEN"
            await until_none(engine)
            silent.close()
            plain.close()

    asyncio.run(main())


def test_a_certificate_that_cannot_be_used_is_one_sentence_and_later_keeps_the_former(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TlsError, match="are not a certificate and its key"):
        Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    hand = HandClock()
    cert, key = write_certificate(tmp_path, "first")
    certificate = Certificate(cert, key, hand)
    first = certificate()
    cert.write_text("half of a")
    hand.time += 1.0
    assert certificate() is first
    assert "the certificate of before is used" in caplog.text
    write_certificate(tmp_path, "second")
    hand.time += 1.0
    assert certificate() is not first
