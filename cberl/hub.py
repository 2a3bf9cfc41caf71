"""Files from the Hugging Face hub or its local cache. An unreachable hub is reported in seconds, without retries."""

import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from cberl.errors import CberlError


class HubError(CberlError, ValueError):
    """A file cannot be downloaded from the hub."""


def fetch(repository: str, files: Sequence[str], revision: str | None = None, timeout_s: float = 3.0) -> Path:
    """The folder with these files of `repository` ("owner/name"), from the local cache or else from the hub.

    Gives up after `timeout_s` if the hub cannot be reached. Raises `HubError`.
    """
    from huggingface_hub import hf_hub_download  # slow to import

    def download(*, local_only: bool) -> Path:
        found = [hf_hub_download(repository, name, revision=revision, local_files_only=local_only) for name in files]
        return Path(found[0]).parent

    try:
        return download(local_only=True)
    except (OSError, ValueError):
        reason = out_of_reach(timeout_s)  # not in the cache: checked before a download, which would retry for minutes
        if reason:
            raise HubError(f"{repository} is neither a folder nor in the local cache, and {reason}") from None
    try:
        return download(local_only=False)
    except (OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise HubError(f"{repository} is not a folder and cannot be downloaded from the model hub: {why}") from error


def out_of_reach(timeout_s: float) -> str | None:
    """Why the hub cannot be used, or None. Returns within `timeout_s`."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids downloading it"
    failure = [f"the model hub {constants.ENDPOINT} did not answer within {timeout_s:g} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=timeout_s).close()
            failure.clear()
        except urllib.error.HTTPError:
            failure.clear()  # an error response is a response
        except OSError as error:
            failure[0] = f"the model hub {constants.ENDPOINT} cannot be reached ({error})"

    # In a thread, because resolving a name has no timeout; a daemon thread does not delay the exit of the process.
    thread = threading.Thread(target=probe, name="hub probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return failure[0] if failure else None
