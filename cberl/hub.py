"""Files from a model hub, or from its local cache. That there is no network is known in seconds, without retries."""

import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path


class HubError(ValueError):
    """Nothing can be had from the hub. The message says why."""


def fetch(repository: str, files: Sequence[str], revision: str | None = None, timeout_s: float = 3.0) -> Path:
    """The folder with these files of `repository` ("owner/name"), from the local cache or else from the hub.

    An unreachable hub is given up after `timeout_s`. Raises `HubError`.
    """
    from huggingface_hub import hf_hub_download  # slow to import, so only where it is used

    def download(*, local_only: bool) -> Path:
        found = [hf_hub_download(repository, name, revision=revision, local_files_only=local_only) for name in files]
        return Path(found[0]).parent

    try:
        return download(local_only=True)
    except (OSError, ValueError):
        reason = out_of_reach(timeout_s)  # not in the cache: worth a download, if the hub is there at all
        if reason:
            raise HubError(f"{repository} is neither a folder nor in the local cache, and {reason}") from None
    try:
        return download(local_only=False)
    except (OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise HubError(f"{repository} is no folder and cannot be had from the model hub: {why}") from error


def out_of_reach(timeout_s: float) -> str | None:
    """Why nothing can be downloaded, or None. Never takes longer than `timeout_s`."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to download it"
    failure = [f"the model hub {constants.ENDPOINT} did not answer within {timeout_s:g} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=timeout_s).close()
            failure.clear()
        except urllib.error.HTTPError:
            failure.clear()  # it answered, whatever it thinks of HEAD
        except OSError as error:
            failure[0] = f"the model hub {constants.ENDPOINT} cannot be reached ({error})"

    # A thread, because looking up a name has no timeout of its own; a daemon, so that it holds up nobody.
    thread = threading.Thread(target=probe, name="hub probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return failure[0] if failure else None
