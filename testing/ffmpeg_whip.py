"""A WHIP client based on FFmpeg's muxer. It is a separate process, because PyAV holds the GIL during the request.

`python -m testing.ffmpeg_whip ENDPOINT FOLDER VIDEO` sends the demo's first turn and the pictures of a video file. Its
certificate is written into FOLDER.
"""

import datetime
import sys
import time
from pathlib import Path

import av
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cberl.types import SAMPLE_RATE
from testing.live_engine import demo
from testing.whip_client import PACKET, Picture

FPS = 10


def certificate(folder: Path) -> dict[str, str]:
    """Write a new certificate and return FFmpeg's options for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}


def publish(endpoint: str, folder: Path, faces: list[Picture]) -> None:
    """Send the first speaker's first turn and a second of silence in real time, then DELETE the session."""
    turn = demo()[0, : round(3.7 * SAMPLE_RATE)]
    pcm = (np.pad(turn, (0, SAMPLE_RATE)) * 32_767).astype(np.int16)
    with av.open(endpoint, "w", format="whip", options=certificate(folder)) as container:
        audio = container.add_stream("libopus", rate=48_000, layout="stereo")
        video = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        video.profile = "Baseline"
        stereo = av.AudioResampler("s16", "stereo", 48_000, frame_size=960)  # the only form that libopus accepts here
        container.start_encoding()
        began = time.monotonic()
        for number, at in enumerate(range(0, len(pcm) - PACKET, PACKET)):
            time.sleep(max(0.0, began + at / SAMPLE_RATE - time.monotonic()))
            block = av.AudioFrame.from_ndarray(pcm[None, at : at + PACKET], "s16", "mono")
            block.sample_rate, block.pts = SAMPLE_RATE, at
            for resampled in stereo.resample(block):
                container.mux(audio.encode(resampled))
            if number % (50 // FPS) == 0:
                shown = number * FPS // 50
                frame = av.VideoFrame.from_ndarray(faces[shown % len(faces)], format="rgb24")
                frame.pts = shown
                container.mux(video.encode(frame))


if __name__ == "__main__":
    endpoint, folder, film = sys.argv[1:]
    with av.open(film) as container:
        shown = [frame.to_ndarray(format="rgb24", width=640, height=360) for frame in container.decode(video=0)]
    publish(endpoint, Path(folder), shown)
