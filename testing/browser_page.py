"""A real browser through the Chrome DevTools Protocol, and a real server with real models, for the tests of pages."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from engine.access.guard import Access
from engine.config import Settings
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.supervisor import open_supervisor

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


class Page:
    """A tab. `exceptions` holds uncaught exceptions of its scripts, `sockets` the addresses of its WebSockets."""

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
            answer.set_exception(ConnectionError("the browser has exited"))

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
        """Return when the JavaScript expression `condition` is true; it is evaluated at each change of the page."""
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
async def browser(profile: Path, *flags: str) -> AsyncIterator[Page]:
    assert BROWSER is not None
    chromium = await asyncio.create_subprocess_exec(
        BROWSER, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank",
        env=os.environ | {"HOME": str(profile)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert chromium.stderr is not None
    try:
        line = ""
        while "DevTools listening on " not in line:
            line = (await chromium.stderr.readline()).decode()
            assert line, "the browser has exited"
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
    settings = Settings(port=0, whisper_model="tiny.en")
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            serve(create_app(supervisor, settings, access=Access(None)), settings, url.set_result)
        )
        yield await url
        serving.cancel()
