"""A WHIP client based on GStreamer's webrtcbin. Run it with a Python that has GStreamer's bindings.

`gst_whip.py ENDPOINT FILE` publishes a WAV file and a test picture (VP8) and prints the address of its session. When
stdin ends, it DELETEs the session and prints the response.
"""

import sys
import threading
import time
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

PIPELINE = """
webrtcbin name=peer bundle-policy=max-bundle
filesrc location="{path}" ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=48000 ! identity sync=true
    ! opusenc ! rtpopuspay pt=100 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100 ! peer.
videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1 ! vp8enc deadline=1
    ! rtpvp8pay pt=101 ! application/x-rtp,media=video,encoding-name=VP8,payload=101 ! peer.
"""


def promised(promise: Gst.Promise) -> Gst.Structure:
    promise.wait()
    return promise.get_reply()


def publish(peer: Gst.Element, endpoint: str) -> str:
    """Post the offer with all candidates; return the address of the session."""
    asked = Gst.Promise.new()
    peer.emit("create-offer", None, asked)
    reply = promised(asked)  # kept, because it owns the offer
    set_locally = Gst.Promise.new()
    peer.emit("set-local-description", reply.get_value("offer"), set_locally)
    promised(set_locally)
    while peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        time.sleep(0.05)
    body = peer.get_property("local-description").sdp.as_text().encode()
    request = urllib.request.Request(endpoint, body, {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request) as answer:
        _, sdp = GstSdp.SDPMessage.new_from_text(answer.read().decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        peer.emit("set-remote-description", description, Gst.Promise.new())
        return urljoin(endpoint, answer.headers["Location"])


def main(endpoint: str, path: str) -> None:
    Gst.init(None)
    pipeline = Gst.parse_launch(PIPELINE.format(path=path))
    peer, wanted = pipeline.get_by_name("peer"), threading.Event()
    peer.connect("on-negotiation-needed", lambda _: wanted.set())
    pipeline.set_state(Gst.State.PLAYING)
    wanted.wait()
    location = publish(peer, endpoint)
    print(location, flush=True)
    sys.stdin.read()
    with urllib.request.urlopen(urllib.request.Request(location, method="DELETE")) as ended:
        print(ended.read().decode(), flush=True)
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
