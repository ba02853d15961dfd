"""The program without its start: one process loads torch and diffusers, and forks for each command.

What pages tell to type starts Python dozens of times, and loading takes longer than the work. So
the `nca` of their shell is a client that hands its words, folder, environment and streams to a
server, and waits for the exit code of the fork. All else is that of a process of its own.

    python quick_shell.py NAME     the server; it ends when nobody holds its standard input open

The name is that of an abstract socket, which no folder's path is too long for.
"""

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
import uuid
from contextlib import contextmanager
from pathlib import Path

from warm import end_at_once

SERVED = sys.platform == "linux"
"""Elsewhere a process does not fork well once it has loaded so much."""
MODULES = ("diffusers.models.unets.unet_2d", "nca_cli.cli", "nca_cli.engine", "nca_cli.report")
"""Also what else they import."""
CLIENT = """#!{python} -S
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), {samples}]).encode()
    socket.send_fds(server, [len(told).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(told)
    sys.exit(int(server.recv(16) or 255))
"""
PLAIN = """#!{python}
import sys
sys.path.insert(0, {home!r})
from quick_shell import command
command(sys.argv[1:], {samples})
"""


@contextmanager
def served(environment):
    """The address of a server, or nothing where none can be."""
    if not SERVED:
        yield None
        return
    name = f"nca-{uuid.uuid4()}"
    server = subprocess.Popen(
        [sys.executable, __file__, name], env=environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout.read(1) == b"!", "the server could not start"
    try:
        yield f"\0{name}"
    finally:
        server.stdin.close()
        server.wait(10)


def write_client(folder, address, samples=None):
    """`nca` in a folder; `samples`: so many sample pictures of each kind, instead of all."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "nca"
    text = CLIENT if address else PLAIN
    script.write_text(text.format(python=sys.executable, address=address, samples=samples,
                                  home=str(Path(__file__).parent)))  # fmt: skip
    script.chmod(0o755)


def command(words, samples=None):
    """What the program does; it ends the process."""
    import nca_cli.images.find as find
    from nca_cli.__main__ import main

    if samples:
        every = find.sample_images
        find.sample_images = lambda kind="photos": every(kind)[:samples]
    sys.argv = ["nca", *words]
    main()


def serve(address):
    """Fork for whoever asks, until the standard input is closed."""
    import torch

    for name in MODULES:
        importlib.import_module(name)
    torch.set_num_threads(1)
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


def _answer(client):
    """Fork once more, into the command, and send its exit code; the process ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(client, 4, 3)
    told = client.makefile("rb").read(int.from_bytes(size, "big"))
    words, folder, environment, samples = json.loads(told)
    process = os.fork()
    if not process:
        _become(streams, folder, environment)
        end_at_once(command, words=words, samples=samples)
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    client.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _become(streams, folder, environment):
    """A process as the client is one."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    stdin, *written = (io.FileIO(number, mode, closefd=False) for number, mode in enumerate("rww"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(stdin), "utf-8")
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in written
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    serve(f"\0{sys.argv[1]}")
