"""The examples of docs/integrate-a-call.md, as written, in a page of another site than the engine's."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from playwright.async_api import Page, expect

from cberl.types import SAMPLE_RATE, Float32
from engine.access.setup import temporary_access
from testing.browser_page import BROWSER, browser, opened
from testing.call_page import capture_devices
from testing.counting import Counter, running, utterance

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or chrome")

PAGE = (Path(__file__).parents[2] / "docs" / "integrate-a-call.md").read_text(encoding="utf-8")
MICROPHONE, REMOTE, RECEIVE = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
PAGE_OF_SITE = '<!doctype html><ol></ol><video autoplay muted></video><script type="module">SCRIPT</script>'
# The other end of the example's connection is in the same page, and sends a microphone and a camera.
CONNECTION = """
const [far, peer] = [new RTCPeerConnection(), new RTCPeerConnection()];
far.onicecandidate = ({ candidate }) => peer.addIceCandidate(candidate);
peer.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate);
const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
for (const track of media.getTracks()) far.addTrack(track, media);
globalThis.connect = async () => {
  await far.setLocalDescription();
  await peer.setRemoteDescription(far.localDescription);
  await peer.setLocalDescription();
  await far.setRemoteDescription(peer.localDescription);
};
"""


def sound() -> Float32:
    """A tone of a minute."""
    return (0.5 * np.sin(np.arange(60 * SAMPLE_RATE) * 2 * np.pi * 300 / SAMPLE_RATE)).astype(np.float32)


@contextmanager
def site(script: str, token: str) -> Iterator[str]:
    """Serves a page with this script, and the token. Where the engine is, the page learns from its address."""
    body = PAGE_OF_SITE.replace("SCRIPT", script.replace("127.0.0.1:8765", "ENGINE"))

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
            path, _, engine = self.path.partition("?")
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if path == "/" else "text/plain")
            self.end_headers()
            self.wfile.write((body.replace("ENGINE", engine) if path == "/" else token).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as serving:
        thread = Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}"
        finally:
            serving.shutdown()
            thread.join()


@asynccontextmanager
async def visited(tmp_path: Path, script: str) -> AsyncIterator[tuple[Counter, Page]]:
    """An engine whose media waits until `open` is set, and the page of another site with this script."""
    access, token = temporary_access()
    flags = capture_devices(tmp_path, sound(), (40, 40, 200))
    with site(script, token) as address:
        async with running(access=access, allow_origin=address) as (engine, url), browser(*flags) as context:
            engine.open.clear()
            yield engine, await opened(context, f"{address}/?{url.removeprefix('http://')}")


async def until(page: Page, condition: Callable[[], bool]) -> None:
    """Looks after each answer of the page to a question, which it always gives."""
    async with asyncio.timeout(30):
        while not condition():
            await page.evaluate("new Promise((done) => setTimeout(done, 20))")


@pytest.mark.parametrize(
    ("script", "speaker"), [(MICROPHONE, "alice"), (REMOTE, "bob")], ids=["getUserMedia", "remote"]
)
def test_the_example_publishes_a_persons_media_and_shows_their_emotion(
    tmp_path: Path, script: str, speaker: str
) -> None:
    whole = script if script is MICROPHONE else f"{script.partition(';')[0]};{CONNECTION}{script.partition(';')[2]}"
    assert len(script.strip().splitlines()) <= 13

    async def main() -> None:
        async with visited(tmp_path, whole) as (engine, page):
            if script is REMOTE:
                await page.wait_for_function("globalThis.connect && connect().then(() => true)")
            await until(page, lambda: engine.source is not None)
            engine.hub.publish(utterance("support-7", speaker, "What a day!"))
            shown = page.locator("cberl-emotion .shown")
            await shown.wait_for()
            assert await shown.locator(".emotion").inner_text() == "J\njoy\n90 %"
            assert await shown.locator(".words").inner_text() == "What a day!"
            video = await page.locator("video").bounding_box()
            assert video == await page.locator("cberl-emotion").bounding_box()
            engine.open.set()
            await until(page, lambda: engine.heard_s > 1)
            events = engine.hub.subscribe("support-7")
            await page.close()  # which ends the publication, and with it the turn
            async for _, text in events:
                heard = json.loads(text)
                if heard["type"] == "emotion":
                    break
            assert heard["speaker"] == speaker
            assert int(heard["text"]) > 3000  # the loudest sample

    asyncio.run(main())


def test_the_overlay_keeps_the_present_emotion_when_an_earlier_turn_is_corrected(tmp_path: Path) -> None:
    async def main() -> None:
        async with visited(tmp_path, MICROPHONE) as (engine, page):
            await until(page, lambda: engine.source is not None)
            words = page.locator("cberl-emotion .words")
            first = replace(utterance("support-7", "alice", "first"), start_s=1.0, end_s=2.0)
            second = replace(utterance("support-7", "alice", "second"), start_s=3.0, end_s=4.0)
            for event, shown in (
                (first, "first"),
                (second, "second"),
                (replace(first, text="first, corrected", revision=1), "second"),
                (replace(second, text="second, corrected", revision=1), "second, corrected"),
            ):
                engine.hub.publish(event)
                engine.hub.publish(utterance("support-7", "bob", shown))  # of another person, told afterwards
                await expect(words).to_have_text(shown)
            engine.open.set()

    asyncio.run(main())


def test_the_example_receives_every_event_once_while_it_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with visited(tmp_path, RECEIVE) as (engine, page):
            lines = page.locator("ol li")
            for number in range(5):
                if number == 2:
                    await page.context.set_offline(True)
                engine.hub.publish(utterance("support-7", "alice", f"number {number}"))
                if number < 2:
                    await lines.nth(number).wait_for()
            await page.context.set_offline(False)
            await lines.nth(4).wait_for()
            assert await lines.all_inner_texts() == [f"alice: number {number} (joy)" for number in range(5)]

    asyncio.run(main())


def test_nothing_leaves_the_browser_of_a_person_who_wants_nothing_analysed(tmp_path: Path) -> None:
    async def main() -> None:
        refusing = MICROPHONE.replace("consent: true", 'analyse: "none"')
        assert refusing != MICROPHONE
        async with visited(tmp_path, refusing) as (engine, page):
            sent: list[str] = []
            page.on("request", lambda request: sent.append(request.url))
            await page.locator("cberl-emotion").wait_for(state="attached")
            engine.hub.publish(utterance("support-7", "alice"))
            await page.locator("cberl-emotion .shown").wait_for()  # it listens all the same
            assert not [it for it in sent if "/whip/" in it]
            assert engine.source is None

    asyncio.run(main())


def test_a_wrong_token_is_told_and_not_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        script = """
            import { publish, subscribe } from "http://127.0.0.1:8765/sdk/cberl.js";
            const onStatus = (...told) => {
                const line = document.createElement("li");
                line.textContent = told.join(": ");
                document.querySelector("ol").append(line);
            };
            const call = { url: "http://127.0.0.1:8765", conversation: "a", speaker: "b", token: "wrong", onStatus };
            subscribe(call);
            publish(await navigator.mediaDevices.getUserMedia({ audio: true }), call);
        """
        async with visited(tmp_path, script) as (_, page):
            await page.get_by_text("refused: This is not a token of this engine.").nth(1).wait_for()
            assert await page.get_by_text("waiting").count() == 0

    asyncio.run(main())
