"""The files in deploy/: each is checked by what will read it."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config import Settings, load_settings
from testing.haproxy import PROGRAM, needs_haproxy

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
ROUTERS = ("EDGE_1=127.0.0.1:1", "EDGE_2=127.0.0.1:2", "LISTEN=127.0.0.1:3")


def documents() -> list[dict[str, Any]]:
    return [
        it for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for it in yaml.safe_load_all(path.read_text())
    ]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [it for it in documents() if (it["kind"], it["metadata"]["name"]) == (kind, name)]
    return found


def test_kubernetes_accepts_the_manifests() -> None:
    validator = pytest.importorskip("kubernetes_validate")
    version = validator.latest_version()
    for document in documents():
        if not document["apiVersion"].startswith("ray.io"):
            validator.validate(document, version, strict=True)


def test_ray_serve_accepts_its_configuration_and_builds_what_it_names() -> None:
    schema = pytest.importorskip("ray.serve.schema")
    from engine.cluster.client import DEPLOYMENTS
    from engine.cluster.deployments import PREFIX, application

    configuration = yaml.safe_load(one("RayService", "inference")["spec"]["serveConfigV2"])
    applications = schema.ServeDeploySchema.model_validate(configuration).applications
    assert [it.name for it in applications] == [f"{PREFIX}{name}" for name in DEPLOYMENTS]
    for it in applications:
        assert it.import_path == f"{application.__module__}:{application.__name__}"
        application(it.args)
        Settings(**it.args.get("settings", {}))


@needs_haproxy
def test_haproxy_accepts_both_configurations(tmp_path: Path) -> None:
    inside = tmp_path / "haproxy.cfg"
    inside.write_text(one("ConfigMap", "router")["data"]["haproxy.cfg"])
    for path in (DEPLOY / "haproxy.cfg", inside):
        checked = subprocess.run(["env", *ROUTERS, str(PROGRAM), "-c", "-f", path], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_the_edges_start_with_valid_settings() -> None:
    (container,) = one("StatefulSet", "edge")["spec"]["template"]["spec"]["containers"]
    words = shlex.split(container["args"][0].partition("exec cberl serve")[2])
    assert settings_of(words).conversation_store == "redis://redis:6379"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_the_images_have_the_locked_packages_and_start_with_valid_settings(name: str) -> None:
    lines = (DEPLOY / name).read_text().replace("\\\n", " ").splitlines()
    installs = [part for line in lines if line.startswith("RUN") for part in line.split("&&") if "pip install" in part]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    given = {line.partition("=")[2] for line in lines if line.startswith("ARG LOCK")}
    named = {Path(word.strip('"')).stem for part in installs for word in part.split() if "locks/" in word}
    for lock in (named | given) - {"${LOCK}"}:
        assert (DEPLOY.parent / "locks" / f"{lock}.txt").is_file()
    (command,) = (json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD "))
    assert command[0] == "serve"
    assert settings_of(command[1:]).host == "0.0.0.0"


def test_compose_mounts_what_exists_and_starts_the_engine_with_valid_settings() -> None:
    folder = DEPLOY / "compose"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    build = services["engine"]["build"]
    assert (folder / build["context"] / build["dockerfile"]).is_file()
    assert settings_of(services["engine"]["command"].split()[1:]).mqtt == "mqtt://mosquitto"
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for volume in service["volumes"]:
            assert not volume.startswith(".") or (folder / volume.partition(":")[0]).is_file()


def test_prometheus_accepts_its_configuration_and_grafana_shows_metrics_that_exist(tmp_path: Path) -> None:
    panels = json.loads((DEPLOY / "compose/dashboard.json").read_text())["panels"]
    asked = {name for panel in panels for it in panel["targets"] for name in re.findall(r"cberl_\w+", it["expr"])}
    documented = set(re.findall(r"^\| `(cberl_\w+)`", (DEPLOY.parent / "docs/operate.md").read_text(), re.MULTILINE))
    assert len(asked) > 15
    assert {name.removesuffix("_bucket") for name in asked} <= documented
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("no promtool: apt-get install prometheus")
    configuration = (DEPLOY / "compose/prometheus.yml").read_text().replace("/token/metrics", str(tmp_path / "token"))
    (tmp_path / "token").touch()
    (tmp_path / "prometheus.yml").write_text(configuration)
    shutil.copy(DEPLOY / "alerts.yaml", tmp_path)
    checked = subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def settings_of(words: list[str]) -> Settings:
    flags: dict[str, Any] = {}
    for word, value in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            flags[word[2:].replace("-", "_")] = True if value.startswith("--") else value
    return load_settings(flags)
