"""Networks are loaded from a folder and from a model hub; no pickle is read, and an unreachable hub fails fast."""

import json
import math
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
from cberl.checkpoint_files import FILES, CheckpointError
from cberl.config import ModelConfig
from cberl.model import CBERL

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
    assert {path.rpartition("/")[2] for path in hub if "resolve" in path} == {"config.json", "model.safetensors"}
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


def spoil(folder: Path, **changes: object) -> None:
    """Changes keys of config.json; those of `model` and `calibration` one by one."""
    config = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        place, _, key = name.partition("__")
        if key:
            config[place][key] = value
        else:
            config[place] = value
    (folder / "config.json").write_text(json.dumps(config))


DEEP: list[object] = []
for _ in range(150):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"calibration__log_prior": [0.1] * 6}, "log_prior has 6 numbers for 7 labels"),
        ({"calibration__log_prior": [math.nan] * 7}, "not finite"),
        ({"calibration__temperature": 0.0}, "temperature is above 0"),
        ({"model__hidden_dim": 10**9}, "hidden_dim is a whole number from 1 to 4096"),
        ({"model__graph_layers": 10**6}, "graph_layers is a whole number"),
        ({"model__heads": 0}, "heads is a whole number"),
        ({"model__past": True}, "past is a whole number"),
        ({"model__latent_dim": 4096, "model__hidden_dim": 4096}, "does not fit its config.json: .* has the shape"),
        ({"model__labels": ["joy"] * 7}, "labels are 2 to 256 different names"),
        ({"model__labels": [["joy"]] * 7}, "does not describe a network"),
        ({"weights_sha256": "0" * 64}, "is damaged or belongs to another config.json"),
        ({"name": "x" * 2_000_000}, "more than 1048576"),
        ({"more": {"deep": DEEP}, "deeper": [DEEP] * 2}, None),
    ],
)
def test_a_checkpoint_that_would_spoil_every_result_is_refused_in_a_sentence(
    saved: Path, changes: dict[str, object], says: str | None
) -> None:
    spoil(saved, **changes)
    if says is None:
        CBERL.from_pretrained(saved)
        return
    with pytest.raises(CheckpointError, match=says) as caught:
        CBERL.from_pretrained(saved)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_endless_nesting_and_weights_that_are_no_numbers_are_refused(saved: Path) -> None:
    config = (saved / "config.json").read_text()
    (saved / "config.json").write_text(config.replace('"format"', '"deep": ' + "[" * 5000 + "]" * 5000 + ', "format"'))
    with pytest.raises(CheckpointError, match="recursion limit"):
        CBERL.from_pretrained(saved)
    (saved / "config.json").write_text(config)
    model = CBERL.from_pretrained(saved)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    model.save_pretrained(saved)
    with pytest.raises(CheckpointError, match="not finite"):
        CBERL.from_pretrained(saved)
    (saved / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="is damaged"):
        CBERL.from_pretrained(saved)
