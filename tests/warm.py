"""Processes that start warm: forks of one that has already imported what takes seconds.

`run` is `subprocess.run` of a new Python with captured text, for code that would import torch and
diffusers anyway; `write_nca` makes a program `nca` for a shell. Each fork has the words, folder,
environment, streams and modules of its own. Nothing of this project is imported before the fork;
and as huggingface_hub, diffusers and transformers read the variables HF_… when they are imported,
forks with other ones come from another process.

    python warm.py NAME     the process that forks; it ends when nobody holds its input open

The name is that of an abstract socket, which no folder's path is too long for.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

MODULES = ("diffusers.models.unets.unet_2d", "transformers.models.vit.modeling_vit")
"""Also what else they import, of which torch is half."""
FORKS = sys.platform == "linux"
"""Elsewhere a process does not fork well once it has loaded so much."""
NCA = "from nca_cli.__main__ import main; main()"
FEW = """
import nca_cli.images.find as find
every = find.sample_images
find.sample_images = lambda kind="photos": every(kind)[:{samples}]
"""
CLIENT = """#!{python} -S
import os, sys
sys.path.insert(0, {home!r})
from warm import ask
sys.exit(ask({address!r}, {code!r}, sys.argv[1:], os.getcwd(), dict(os.environ), [0, 1, 2]))
"""


def run(
    code: str, *arguments: object, cwd: Path | str = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -c code arguments` in a folder and an environment; how it ended and what it said."""
    if not FORKS:
        return cold(code, *arguments, cwd=cwd, env=env)
    words, environment = [*map(str, arguments)], dict(os.environ if env is None else env)
    with (
        open(os.devnull) as nothing, tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
    ):  # fmt: skip
        streams = [stream.fileno() for stream in (nothing, out, errors)]
        where = _address(environment)
        status = ask(where, code, words, os.path.abspath(cwd), environment, streams)
        said = [stream.seek(0) or stream.read() for stream in (out, errors)]
        return subprocess.CompletedProcess([code, *words], status, *said)


def cold(
    code: str, *arguments: object, cwd: Path | str = ".", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in a new process, for what loads little or differs in its variables HF_…."""
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, env=env,
                          capture_output=True, text=True)  # fmt: skip


def write_nca(folder: Path, environment: Mapping[str, str], samples: int | None = None) -> None:
    """`nca` in a folder; `samples`: so many sample pictures of each kind, instead of all."""
    code = (FEW.format(samples=samples) if samples else "") + NCA
    text = CLIENT if FORKS else "#!{python}\n{code}\n"
    folder.mkdir(exist_ok=True)
    (folder / "nca").write_text(text.format(
        python=sys.executable, home=str(Path(__file__).parent), code=code,
        address=_address(environment) if FORKS else "",
    ))  # fmt: skip
    (folder / "nca").chmod(0o755)


def ask(
    address: str, code: str, words: list[str], cwd: str, environment: dict, streams: list[int]
) -> int:
    """The exit status of a fork with these streams; below 0 is a signal, as of `subprocess`."""
    told = json.dumps([code, words, cwd, environment]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(told).to_bytes(4, "big")], streams)
        server.sendall(told)
        return int(server.recv(16))


_started: list[tuple[dict[str, str], str, subprocess.Popen[bytes]]] = []


def _address(environment: Mapping[str, str]) -> str:
    """That of a process that forks; at most one is kept."""
    settings = {key: value for key, value in environment.items() if key.startswith("HF_")}
    if not _started or _started[0][0] != settings:
        _end()
        atexit.register(_end)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        name = f"warm-{uuid.uuid4()}"
        process = subprocess.Popen([sys.executable, __file__, name], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env={**kept, **settings})  # fmt: skip
        _started.append((settings, f"\0{name}", process))
        assert process.stdout.read(1) == b"!", "it could not start"
    return _started[0][1]


def _end() -> None:
    while _started:
        _started.pop()[2].communicate()


def _serve(address: str) -> None:
    """Import, then fork for whoever asks."""
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # or every fork would copy what it collects
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the forks that wait ended
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        os.write(1, b"!")
        while server in select.select([server, sys.stdin], [], [])[0]:
            client, _ = server.accept()
            if not os.fork():
                _answer(client)
            client.close()


def _answer(client: socket.socket) -> NoReturn:
    """Fork once more, and send the exit status of that."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(client, 4, 3)
    told = json.loads(client.makefile("rb").read(int.from_bytes(size, "big")))
    if not (child := os.fork()):
        client.close()
        _end_at_once(lambda: _become(*told, streams))
    _, status = os.waitpid(child, 0)
    client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(code: str, words: list[str], cwd: str, environment: dict, streams: list[int]) -> None:
    """Do what a new Python would do."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    stdin, *written = (io.FileIO(number, mode, closefd=False) for number, mode in enumerate("rww"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(stdin), "utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in written
    )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["-c", *words]
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ["", *filter(None, paths), *(each for each in sys.path if "-packages" in each
                                               or each.startswith(sys.base_prefix))]  # fmt: skip
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), main.__dict__)


def _end_at_once(action: Callable[[], None]) -> NoReturn:
    """As Python ends, without seconds of taking all modules apart."""
    status = 0
    try:
        action()
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
    _serve(f"\0{sys.argv[1]}")
