"""Processes that start warm: forks of one that has already imported what takes seconds.

`run` is `subprocess.run` of a new Python with captured text, for code that would import torch and
diffusers anyway. Each fork has a folder, an environment, streams and modules of its own. Nothing of
this project is imported before the fork; and as huggingface_hub, diffusers and transformers read
the variables HF_… when they are imported, forks with other ones come from another process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

MODULES = ("diffusers.models.unets.unet_2d", "transformers.models.vit.modeling_vit")
"""Also what else they import, of which torch is half."""
FORKS = hasattr(os, "fork")


def run(
    code: str, *arguments: object, cwd: Path | str = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -c code arguments` in a folder and an environment; how it ended and what it said."""
    if not FORKS:
        return cold(code, *arguments, cwd=cwd, env=env)
    words, environment = [*map(str, arguments)], dict(os.environ if env is None else env)
    with tempfile.TemporaryDirectory() as folder:
        said = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        request = {"code": code, "words": words, "cwd": os.path.abspath(cwd),
                   "environment": environment, "streams": [os.devnull, *said]}  # fmt: skip
        warm = _warm({key: value for key, value in environment.items() if key.startswith("HF_")})
        print(json.dumps(request), file=warm.stdin, flush=True)
        status = int(warm.stdout.readline())
        return subprocess.CompletedProcess(
            [code, *words], status, *(Path(path).read_text("utf-8") for path in said)
        )


def cold(
    code: str, *arguments: object, cwd: Path | str = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in a new process, for what loads little or differs in its variables HF_…."""
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, env=env,
                          capture_output=True, text=True)  # fmt: skip


_started: list[tuple[dict[str, str], subprocess.Popen[str]]] = []


def _warm(settings: dict[str, str]) -> subprocess.Popen[str]:
    """The process that forks, and ends when its input does; at most one is kept."""
    if not _started or _started[0][0] != settings:
        _end()
        atexit.register(_end)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        warm = subprocess.Popen([sys.executable, __file__], text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env={**kept, **settings})  # fmt: skip
        _started.append((settings, warm))
    return _started[0][1]


def _end() -> None:
    while _started:
        _started.pop()[1].communicate()


def _serve() -> None:
    """Import, then fork for each request and answer with the exit status of the fork."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # or every fork would copy what it collects
    for line in sys.stdin:
        if not (child := os.fork()):
            end_at_once(_become, **json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(code: str, words: list[str], cwd: str, environment: dict, streams: list[str]) -> None:
    """Do what a new Python would do."""
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["-c", *words]
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ["", *filter(None, paths), *(each for each in sys.path if "-packages" in each
                                               or each.startswith(sys.base_prefix))]  # fmt: skip
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), main.__dict__)


def end_at_once(action: Callable[..., None], **arguments: object) -> NoReturn:
    """As Python ends, without seconds of taking all modules apart."""
    status = 0
    try:
        action(**arguments)
    except SystemExit as left:
        if not isinstance(left.code, int | None):
            print(left.code, file=sys.stderr)
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


if __name__ == "__main__":
    _serve()
