"""An RTSP server for a WAV file, based on GStreamer. Run it with a Python that has GStreamer's bindings.

`rtsp_server.py PORT FILE` serves rtsp://127.0.0.1:PORT/live
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

if __name__ == "__main__":
    port, path = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f'( filesrc location="{path}" ! wavparse ! audioconvert ! rtpL16pay name=pay0 pt=97 )')
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    print("ready", flush=True)
    GLib.MainLoop().run()
