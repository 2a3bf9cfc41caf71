"""The first page in a real browser, against a real server with real models, through the Chrome DevTools Protocol."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

import engine.demo
from cberl.labels import MELD
from engine.config import Settings
from engine.demo.play import play
from engine.ingest.media import read_media
from engine.messages import AudioChunk, EmotionEvent
from engine.server import create_app, serve
from engine.supervisor import open_supervisor

DEMO = Path(engine.demo.__file__).parent / "conversation.flac"
SPEAKERS = ["maya", "tom"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ROWS = '[...document.querySelectorAll("#transcript li")]'
SEEN = f"""({{
    people: [...document.querySelectorAll("#people .person")].map((card) => card.dataset.name).sort(),
    feelings: [...document.querySelectorAll("#people .feeling strong")].map((it) => it.textContent),
    who: {ROWS}.map((row) => row.querySelector(".who b").textContent),
    said: {ROWS}.map((row) => row.querySelector(".words").textContent),
    verdicts: {ROWS}.map((row) => row.querySelector(".chip").textContent),
    disclosure: ((it) => it.checkVisibility() && it.innerText)(document.getElementById("disclosure")),
    status: document.getElementById("status").dataset.kind,
}})"""


class Page:
    """One tab. `exceptions` holds what its scripts threw, `sockets` the addresses they opened."""

    def __init__(self, socket: ClientConnection) -> None:
        self.exceptions: list[Any] = []
        self.sockets: list[str] = []
        self._socket = socket
        self._session: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                self.exceptions.append(message["params"])
            elif message["method"] == "Network.webSocketCreated":
                self.sockets.append(message["params"]["url"])
        for answer in self._answers.values():
            answer.set_exception(ConnectionError("the browser has ended"))

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params} | self._session))
        message = await answer
        assert "error" not in message, message
        return message["result"]

    async def open(self, url: str) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Runtime", "Network", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        done = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def until(self, condition: str) -> None:
        """Returns once the page is such that `condition` holds."""
        await self.evaluate(f"""new Promise((done) => {{
            const look = () => {condition} && done(watch.disconnect());
            const watch = new MutationObserver(look);
            watch.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
            look();
        }})""")

    async def offline(self, offline: bool) -> None:
        unlimited = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self.call("Network.emulateNetworkConditions", offline=offline, **unlimited)


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Page]:
    assert BROWSER is not None
    chromium = await asyncio.create_subprocess_exec(
        BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank",
        env=os.environ | {"HOME": str(profile)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert chromium.stderr is not None
    try:
        line = ""
        while "DevTools listening on " not in line:
            line = (await chromium.stderr.readline()).decode()
            assert line, "the browser has ended"
        address = line.partition("DevTools listening on ")[2].strip()
        async with asyncio.TaskGroup() as tasks, connect(address, proxy=None, max_size=None) as socket:
            tasks.create_task(drain(chromium.stderr))
            page = Page(socket)
            tasks.create_task(page.read())
            yield page
            await page.call("Browser.close")
        await chromium.wait()
    finally:
        if chromium.returncode is None:
            chromium.kill()
        await chromium.wait()


async def drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    settings = Settings(port=0, asr="sphinx")
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(create_app(supervisor, settings), settings, url.set_result))
        yield await url
        serving.cancel()


async def publish(url: str, start_s: float, end_s: float) -> list[EmotionEvent]:
    """This part of the demo, as fast as it is taken."""

    async def part() -> AsyncIterator[AudioChunk]:
        async for chunk in read_media(str(DEMO), speakers=SPEAKERS):
            if start_s <= chunk.start_s < end_s:
                yield chunk

    return await play(url.replace("http", "ws") + "/ingest?conversation=demo", part(), SPEAKERS, lambda event: None)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")
def test_a_page_shows_who_said_what_and_misses_nothing_while_it_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with server() as url, browser(tmp_path) as page:
            await page.open(f"{url}/?conversation=demo")
            await page.until("document.getElementById('status')?.dataset.kind === 'idle'")
            finals = await publish(url, 0.0, 7.0)
            await page.until(f"{ROWS}.length === 2 && document.querySelector('[data-name=tom] .feeling strong')")
            seen = await page.evaluate(SEEN)
            assert seen["people"] == seen["who"] == SPEAKERS
            assert set(seen["feelings"]) <= set(MELD)
            assert len(seen["feelings"]) == 2
            assert seen["said"] == [event.text for event in finals]
            assert seen["verdicts"] == [event.emotion for event in finals]
            assert seen["disclosure"] == "Emotion recognition is running in this conversation."
            assert seen["status"] == "live"

            await page.offline(True)
            await page.until("document.getElementById('status').dataset.kind === 'waiting'")
            finals += await publish(url, 7.0, 13.7)
            assert (await page.evaluate(SEEN))["said"] == seen["said"]
            await page.offline(False)
            await page.until(f"{ROWS}.length >= 4 && document.getElementById('status').dataset.kind === 'live'")
            seen = await page.evaluate(SEEN)
            assert seen["who"] == ["maya", "tom", "maya", "tom"]
            assert seen["said"] == [event.text for event in finals]
            assert page.sockets[0].endswith("resume_from_seq=0")
            assert not page.sockets[-1].endswith("resume_from_seq=0")
            assert page.exceptions == []

    asyncio.run(main())
