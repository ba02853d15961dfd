"""The model hub: what of it is on this disk, and downloads of just what is needed.

A snapshot on this disk is found by huggingface_hub's cache layout (`refs/<revision>` holds a
commit, `snapshots/<commit>` its files), without asking the network. The environment variables of
huggingface_hub (HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE) are honoured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nca_cli.errors import ModelError
from nca_cli.models.asking import ask

COMMIT = re.compile(r"[0-9a-f]{40}")
MAIN = "main"
PIECE = 1 << 16
"""Bytes of a download that are written at a time."""
GET_IT = (
    "download it once with network: nca reconstruct --model {} without --offline, "
    "or give a local folder"
)


def on_disk(repo: str, revision: str | None) -> Path | None:
    """The snapshot folder of `repo` at `revision` (default: main), if this disk has one.

    The folder's name is the commit. It may hold only some of the files.
    """
    storage = _storage(repo)
    revision = revision or MAIN
    commit = revision if COMMIT.fullmatch(revision) else _read_ref(storage / "refs" / revision)
    folder = storage / "snapshots" / commit if commit else None
    return folder if folder is not None and folder.is_dir() else None


def _storage(repo: str) -> Path:
    """Where the cache keeps all revisions of `repo`."""
    from huggingface_hub import constants

    return Path(os.path.expanduser(constants.HF_HUB_CACHE)) / f"models--{repo.replace('/', '--')}"


def _read_ref(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8").strip() or None
    return None


def is_offline() -> bool:
    """Whether the environment forbids the network (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def list_repo(repo: str, revision: str | None) -> list[str]:
    """Names of all files of `repo`. Asks the network; raises `ModelError`."""
    names: list[str] = ask(repo, names_of, revision, hint=GET_IT.format(repo))
    return names


def download(repo: str, revision: str | None, names: Sequence[str]) -> Path:
    """Fetch the files `names`, all of one commit; the snapshot folder, named by the commit.

    Files that are on this disk already are not fetched again. Raises `ModelError`.
    """
    from huggingface_hub import constants

    cache = Path(os.path.expanduser(constants.HF_HUB_CACHE))
    return Path(ask(repo, fetch, revision, list(names), str(cache),
                    growing=_storage(repo) / "blobs", hint=GET_IT.format(repo)))  # fmt: skip


def names_of(repo: str, revision: str | None) -> list[str]:
    """As `list_repo`, in the process that asks."""
    with _plain_errors(repo, revision):
        from huggingface_hub import HfApi

        info = HfApi().model_info(repo, revision=revision)
        return [file.rfilename for file in info.siblings or ()]


def fetch(repo: str, revision: str | None, names: list[str], cache: str) -> str:
    """As `download`, in the process that asks: in small pieces, so that it shows whether any come.

    Xet, which fetches large ones out of sight, is left out for that.
    """
    with _plain_errors(repo, revision), _quiet_bars():
        from huggingface_hub import constants, snapshot_download

        constants.DOWNLOAD_CHUNK_SIZE = PIECE
        constants.HF_HUB_DISABLE_XET = True
        return str(
            snapshot_download(repo, revision=revision, allow_patterns=names, cache_dir=cache)
        )


@contextlib.contextmanager
def _quiet_bars() -> Iterator[None]:
    """No progress bars where stderr is not a terminal."""
    from huggingface_hub import utils

    quieten = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    if quieten:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if quieten:
            utils.enable_progress_bars()


@contextlib.contextmanager
def _plain_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn the hub's errors into one line each."""
    from huggingface_hub import errors

    hint = GET_IT.format(repo)
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(
            repo, "is gated: its owners must grant you access",
            "ask for access on its page at the hub, then set HF_TOKEN (or give a local folder)",
        ) from error  # fmt: skip
    except errors.RevisionNotFoundError as error:
        raise ModelError(repo, f"has no revision {revision!r} on the hub") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            repo, "is not on the hub, or is private",
            "check the spelling, or set HF_TOKEN; nca models lists the built-in names",
        ) from error  # fmt: skip
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(repo, "not on this disk, and the hub cannot be reached", hint) from error
    except errors.HFValidationError as error:
        raise ModelError(repo, "is not a valid hub id") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        raise ModelError(repo, f"the hub answered with status {status}", hint) from error
    except json.JSONDecodeError as error:
        raise _no_hub(repo) from error
    except (errors.HTTPError, OSError) as error:
        cause = getattr(error, "strerror", None) or type(error).__name__
        raise ModelError(repo, f"cannot be fetched from the hub ({cause})", hint) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _no_hub(repo) from error


def _no_hub(repo: str) -> ModelError:
    reason = "the server that answers is not a hub (perhaps a login page of your network)"
    return ModelError(repo, reason, GET_IT.format(repo))
