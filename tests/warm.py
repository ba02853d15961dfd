"""Processes that start warm: forks of one that has already imported what takes seconds.

`run` is `subprocess.run` of a new Python with captured text, for code that would import torch
anyway. Each fork has its own folder, environment, streams and modules. Nothing that reads the
environment when it is imported (huggingface_hub, diffusers, transformers) or that is of this
project is imported before the fork.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path

MODULES = ("torch._dynamo", "torch.distributed.fsdp", "scipy.stats", "sympy", "PIL.Image")
FORKS = hasattr(os, "fork")


def run(
    code: str, *arguments: object, cwd: Path | str = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -c code arguments` in a folder and an environment; how it ended and what it said."""
    words = [*map(str, arguments)]
    environment = dict(os.environ if env is None else env)
    if not FORKS:
        return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, env=environment,
                              capture_output=True, text=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        said = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        request = {"code": code, "words": words, "cwd": os.path.abspath(cwd),
                   "environment": environment, "streams": [os.devnull, *said]}  # fmt: skip
        warm = _warm()
        print(json.dumps(request), file=warm.stdin, flush=True)
        status = int(warm.stdout.readline())
        return subprocess.CompletedProcess(
            [code, *words], status, *(Path(path).read_text("utf-8") for path in said)
        )


@functools.cache
def _warm() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one, whose requests are its standard input."""
    warm = subprocess.Popen([sys.executable, __file__], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)  # fmt: skip
    atexit.register(warm.communicate)
    return warm


def _serve() -> None:
    """Import, then fork for each request and answer with the exit status of the fork."""
    for name in MODULES:
        importlib.import_module(name)
    for line in sys.stdin:
        if not (child := os.fork()):
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(code: str, words: list[str], cwd: str, environment: dict, streams: list[str]) -> None:
    """What a new Python would be; ends the process."""
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
    sys.exit()


if __name__ == "__main__":
    _serve()
