"""What `/metrics` offers, compared with the documents and the alerts that name it."""

import asyncio
import re
from pathlib import Path

import httpx
import yaml

from testing.counting import running

ROOT = Path(__file__).parents[3]


def described() -> list[tuple[str, str, str]]:
    """(name, type, description) of each metric, also of those without values so far."""

    async def main() -> str:
        async with running() as (_, url), httpx.AsyncClient(base_url=url, trust_env=False) as http:
            return (await http.get("/metrics")).text

    text = asyncio.run(main())
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    return [(name, types[name], about) for name, about in re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE)]


def test_the_document_has_every_metric_with_its_type_and_meaning() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(cberl_\w+)` \| (\w+) \| [\w, ]* \| (.+) \|$", page, re.MULTILINE)
    assert rows == [metric for metric in described() if metric[0].startswith("cberl_")]


def test_alerts_are_about_metrics_that_exist_and_the_document_says_what_to_do() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    known = {f"{name}{part}" for name, kind, _ in described() for part in ("", *["_bucket"][: kind == "histogram"])}
    for rule in rules:
        named = set(re.findall(r"\b(?:cberl|process|python)_\w+", rule["expr"]))
        assert named <= known, rule["alert"]
        assert named or rule["alert"] == "CberlDown"
        assert rule["alert"] in page
        assert rule["annotations"]["summary"].endswith(".")
