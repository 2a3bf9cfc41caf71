"""Networks are loaded from a folder and from a model hub; no pickle is read, and an unreachable hub fails fast."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import cberl
from cberl.calibration import Calibration
from cberl.checkpoint import STARTER, load_checkpoint
from cberl.config import ModelConfig
from cberl.model import CBERL
from cberl.pretrained import FILES, CheckpointError

CONFIG = ModelConfig(text_dim=6, audio_dim=8, latent_dim=8, hidden_dim=8, heads=2)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = CBERL(CONFIG)
    model.calibration = Calibration((0.1,) * 7, temperature=2.0)
    model.about = {"name": "tiny"}
    model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A model hub on this machine with one repository, me/tiny, and an empty local cache. Yields the requests."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            name = self.path.removeprefix("/me/tiny/resolve/main/")
            body = (saved / name).read_bytes() if name in FILES else b""
            self.send_response(200 if body else 404)
            if body:
                self.send_header("ETag", f'"{name}"')
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


def assert_same(left: CBERL, right: CBERL) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (left.config, left.calibration, left.about) == (right.config, right.calibration, right.about)


def test_a_network_is_saved_and_loaded(tmp_path: Path) -> None:
    model = cberl.CBERL.from_pretrained(STARTER)
    assert not model.training
    assert model.about["name"].startswith("cberl-starter")
    model.save_pretrained(str(tmp_path / "copy"))
    assert_same(CBERL.from_pretrained(str(tmp_path / "copy")), model)
    assert load_checkpoint(tmp_path / "copy").encoders == load_checkpoint(STARTER).encoders
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == sorted(FILES)


def test_a_network_is_downloaded_once_and_then_read_from_the_cache(
    hub: list[str], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(CBERL.from_pretrained("me/tiny"), CBERL.from_pretrained(saved))
    assert {path.rpartition("/")[2] for path in hub if "resolve" in path} == set(FILES)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nothing listens
    assert_same(CBERL.from_pretrained("me/tiny"), CBERL.from_pretrained(saved))


def test_a_repository_that_does_not_exist_is_named(hub: list[str]) -> None:
    with pytest.raises(CheckpointError, match=r"me/none is not a folder and cannot be downloaded .*404"):
        CBERL.from_pretrained("me/none")


def test_an_unreachable_hub_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"^me/tiny is neither a folder nor .* cannot be reached"):
        CBERL.from_pretrained("me/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        CBERL.from_pretrained("me/tiny")
    with pytest.raises(CheckpointError, match=r"nowhere is not a checkpoint: config\.json is missing"):
        CBERL.from_pretrained(tmp_path / "nowhere")


def test_importing_the_package_does_not_import_pytorch() -> None:
    code = "import sys, cberl.labels; print('torch' in sys.modules); from cberl import CBERL; print(CBERL.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "CBERL"]
    with pytest.raises(AttributeError, match="has no attribute 'CBREL'"):
        cberl.CBREL  # noqa: B018


def test_the_readme_s_snippet_runs(capsys: pytest.CaptureFixture[str]) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (snippet,) = [one for one in snippets if "from_pretrained" in one]
    exec(compile(snippet, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    labels = CBERL.from_pretrained(STARTER).config.labels
    for line in printed:
        name, probability = line.split()[-2:]
        assert name in labels
        assert 1 / len(labels) <= float(probability) <= 1
    assert len(printed) >= 2
