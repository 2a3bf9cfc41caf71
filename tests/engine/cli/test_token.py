"""`cberl serve` and `cberl token` as processes."""

import asyncio
import re
import stat
import subprocess
import sys
from pathlib import Path

import httpx

from engine.access.setup import open_access
from engine.config import Settings
from testing.command import MAIN
from testing.live_engine import rest, until, ws
from testing.serving import served


def cberl_token(keys: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "token", "--keys", str(keys), *flags]
    return subprocess.run(command, cwd=keys.parent, capture_output=True, text=True, check=False)


def test_the_first_start_prints_a_link_and_tokens_are_made_and_withdrawn_while_it_runs(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"

    async def main() -> None:
        with served(tmp_path, "--keys", str(keys)) as server:
            (admin,) = re.findall(rf"{server.url}/#token=(\S+)", server.log.read_text())
            assert stat.S_IMODE(keys.stat().st_mode) == 0o600
            headers = {"Authorization": f"Bearer {admin}"}
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
                assert (await http.get("/conversations")).status_code == 401
                assert (await http.get("/conversations", headers=headers)).status_code == 200
            made = cberl_token(keys, "--conversation", "support-*", "--speaker", "alice", "--listen", "--days", "2")
            token = made.stdout.strip()
            (number,) = re.findall(r"^Token (\w+): listen in support-\*, until ", made.stderr)
            bearer = {"additional_headers": {"Authorization": f"Bearer {token}"}}
            async with ws(server.url, "/events?conversation=support-1", **bearer) as client:
                await until(client, "snapshot")
                assert cberl_token(keys, "--deny", number).returncode == 0
                assert [message["code"] for message in await rest(client)] == ["unauthorized"]
            async with ws(server.url, "/events?conversation=support-1") as client:
                await asyncio.sleep(0)
                await client.send("{}")
                assert [message["code"] for message in await rest(client)] == ["unauthorized"]
            server.assert_calm()

    asyncio.run(main())
    assert open_access(Settings(keys=str(keys)))[1] is None  # the link is printed once


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    for flags, says in (
        ((), "say what the token is for"),
        (("--listen", "--days", "0"), "0 is not in the range"),
        (("--publish", "--speaker", "a/b"), "may not contain '/'"),
    ):
        done = cberl_token(keys, *flags)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
    keys.write_text("{")
    keys.chmod(0o600)
    done = cberl_token(keys, "--listen")
    assert (done.returncode, "is not a file of keys" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
