"""A hub that hangs, drips, lies or is a login page: one line, soon. And no code of a repository."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pipelines
import pytest
import warm
from hub import Hub, listening
from stores import full_store

PATIENCE = 8
"""Seconds, in the place of those of `nca_cli.models.asking`."""
NCA = f"""
import sys
from nca_cli.models import asking
asking.PATIENCE = {PATIENCE}
from nca_cli.cli import app
app(sys.argv[1:], prog_name="nca")
"""
SCALING = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


class Strange(http.server.BaseHTTPRequestHandler):
    """What is no hub, or a bad one: `behaviour` says how."""

    behaviour = "silent"
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        getattr(self, self.behaviour)()

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass

    def silent(self):
        time.sleep(60)

    def drips(self):
        """A byte of its headers now and then, which no time limit of a read notices."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(120):
            self.wfile.write(b"a")
            self.wfile.flush()
            time.sleep(0.5)

    def drips_an_answer(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
        for _ in range(120):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.5)

    def sends_half(self):
        self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "a/b"')
        self.close_connection = True

    def sends_more(self):
        self.page(b'{"id": "someone/faces", "sha": "' + b"a" * 40 + b'", "siblings": []}', 20)

    def redirects_for_ever(self):
        self.send_response(302)
        self.send_header("Location", f"{self.path}/x"[:2000])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def portal(self):
        if self.path == "/login":
            self.page_for_all()
            return
        self.send_response(302)
        self.send_header("Location", "/login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def page_for_all(self):
        self.page(b"<!DOCTYPE html><title>Blocked</title>")

    def another_json(self):
        self.page(b'["not", "what", "was", "asked"]')

    def page(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(length or len(content)))
        self.send_header("Connection", "close")  # said, or the next request may meet the end
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.close_connection = True


BEHAVIOURS = ["silent", "drips", "drips_an_answer", "sends_half", "sends_more",
              "redirects_for_ever", "portal", "page_for_all", "another_json"]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    """One address for all that these tests meet there, so that their processes start warm."""
    with listening() as server:
        yield server


def strange(server, behaviour):
    """Its address, where it behaves so from now on."""
    server.RequestHandlerClass = type("Handler", (Strange,), {"behaviour": behaviour})
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def home(tmp_path, faces):
    """A working folder with pictures and a store."""
    full_store(tmp_path / "nca-store")
    return tmp_path


def nca(home, url, *words, code=NCA, **environment):
    """The program on a computer of its own, with a hub's address."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_ENDPOINT": url, "HF_HOME": "hf", "OMP_NUM_THREADS": "1",
                "NCA_CACHE": str(home / "nca"),
                "PYTHONPATH": str(Path(__file__).resolve().parents[1])}  # fmt: skip
    return warm.run(code, *words, cwd=home, env={**kept, **settings, **environment})


def one_line(done):
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, done.stderr
    assert len(errors) == 1, done.stderr
    assert "unexpected" not in errors[0]
    assert "Traceback" not in done.stderr
    return errors[0]


RECONSTRUCT = ["reconstruct", "faces", "--model", "someone/faces", "--t", "500"]
MEASURE = ["measure", "--backbone", "someone/vit"]


@pytest.mark.parametrize("words", [RECONSTRUCT, MEASURE], ids=lambda words: words[0])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_bad_hub_is_one_line_and_soon(home, server, behaviour, words):
    start = time.monotonic()
    line = one_line(nca(home, strange(server, behaviour), *words))
    assert time.monotonic() - start < 40 + 2 * PATIENCE
    assert words[-1] in line or "someone/faces" in line
    if behaviour in ("silent", "drips", "drips_an_answer"):
        assert f"came from the hub in {PATIENCE} s" in line
    if behaviour in ("portal", "page_for_all", "another_json"):
        assert "the server that answers is not a hub" in line


class Slow(Hub):
    """A hub that sends the start of each weight file, and then nothing."""

    def __init__(self, server):
        super().__init__(server)
        usual = self._server.RequestHandlerClass

        class Handler(usual):
            def _send(self, status, data, headers):
                if len(data) < 4096 or self.command == "HEAD":
                    super()._send(status, data, headers)
                    return
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data[:100])
                self.wfile.flush()
                time.sleep(60)

        self._server.RequestHandlerClass = Handler


def test_a_download_that_stops_is_one_line_and_is_gone_on_with(home, server):
    folder = pipelines.tiny_pixel(home / "pipeline")
    with Slow(server) as slow:
        slow.add("someone/faces", folder)
        assert "came from the hub in" in one_line(nca(home, slow.url, *RECONSTRUCT))
    with Hub(server) as hub:
        hub.add("someone/faces", folder)
        done = nca(home, hub.url, *RECONSTRUCT)
        assert done.returncode == 0, done.stderr


def test_an_interrupt_ends_the_process_that_asks_as_well(home, server):
    import signal

    url = strange(server, "silent")
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home / "hf")}
    process = subprocess.Popen([sys.executable, "-m", "nca_cli", *RECONSTRUCT], cwd=home,
                               stderr=subprocess.PIPE, env=environment)  # fmt: skip
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"Traceback" not in said


# -- backbones -------------------------------------------------------------------------------------

CODE = """
from pathlib import Path
Path("executed").touch()
from transformers import ViTConfig, ViTModel
class Config(ViTConfig):
    model_type = "{kind}"
class Model(ViTModel):
    config_class = Config
"""


def vit(folder, **changes):
    """A tiny vision model, with what else its configuration is to say."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=16, patch_size=8,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SCALING))
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def test_a_backbone_is_fetched_once_and_used_offline(home, server):
    folder = vit(home / "vit")
    for name in ("README.md", "tf_model.h5", "model.fp16.safetensors", "modeling_own.py"):
        (folder / name).write_bytes(b"not needed")
    with Hub(server) as hub:
        assert "network is off" in one_line(nca(home, hub.url, *MEASURE, "--offline"))
        assert hub.requests == []
        commit = hub.add("someone/vit", folder)
        assert nca(home, hub.url, *MEASURE).returncode == 0
        assert hub.fetched == ["config.json", "model.safetensors", "preprocessor_config.json"]
        asked = len(hub.requests)
        assert nca(home, hub.url, *MEASURE, "--offline").returncode == 0
        assert len(hub.requests) == asked
    values = next((home / "nca-store").rglob("*.metrics.json")).read_text()
    assert commit in values


@pytest.mark.parametrize("kind", ["vit", "own"])
@pytest.mark.parametrize("where", ["folder", "hub"])
def test_code_of_a_repository_is_never_run_asked_or_not(home, server, kind, where):
    """Standard input says yes to everything, and a terminal is not even there."""
    own = {"AutoConfig": "modeling_own.Config", "AutoModel": "modeling_own.Model"}
    folder = vit(home / "repository", auto_map=own, model_type=kind)
    (folder / "modeling_own.py").write_text(CODE.format(kind=kind))
    ask = NCA.replace("app(sys", "import io; sys.stdin = io.StringIO('y\\n' * 100)\napp(sys")
    with Hub(server) as hub:
        hub.add("someone/vit", folder)
        name = str(folder) if where == "folder" else "someone/vit"
        done = nca(home, hub.url, "measure", "--backbone", name, code=ask)
    assert not list(home.rglob("executed"))
    assert not [request for request in hub.requests if request.path.endswith(".py")]
    if kind == "own":
        assert "transformers cannot load it" in one_line(done)
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation",
                                 "experts_implementation"])  # fmt: skip
def test_no_kernels_from_elsewhere_are_asked_for(home, server, key):
    folder = vit(home / "vit", **{key: "someone/kernels"})
    with Hub(server) as hub:
        done = nca(home, hub.url, "measure", "--backbone", str(folder))
        assert done.returncode == 0, done.stderr
        assert hub.requests == []


def test_settings_of_parts_are_stripped_as_well():
    from nca_cli.models.text import _without_code

    inner = {"attn_implementation": "a/b", "auto_map": {}, "width": 3}
    assert _without_code({"vision_config": inner}) == {"vision_config": {"width": 3}}


def test_the_features_are_those_that_transformers_gives(home):
    import numpy as np
    import torch
    import transformers

    from nca_cli.metrics.features import feature_metrics

    folder = vit(home / "vit")
    (found,) = feature_metrics(str(folder)).values()
    random = np.random.default_rng(0)
    x, y = random.uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)
    network = transformers.ViTModel.from_pretrained(folder).eval()
    with torch.no_grad():
        a, b = (network(torch.tensor(each)[None], output_hidden_states=True).hidden_states
                for each in (x, y))  # fmt: skip
    expected = [
        float(torch.cosine_similarity(p.flatten(), q.flatten(), 0))
        for p, q in zip(a, b, strict=True)
    ]
    assert list(found.function(x, y).values()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("change", [{"hidden_size": 10**9}, {"num_hidden_layers": 10**7},
                                    {"image_size": 10**6}, {"num_attention_heads": 0},
                                    {"hidden_size": -1}, {"model_type": ["vit"]},
                                    {"model_type": None}, {"patch_size": "wide"}])  # fmt: skip
def test_a_backbone_that_cannot_be_is_one_line_before_memory_is_taken(home, server, change):
    folder = vit(home / "vit", **change)
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))\n"
    one_line(nca(home, strange(server, "another_json"), "measure", "--backbone", str(folder),
                 code=limited + NCA))  # fmt: skip


def test_a_pickle_in_a_backbone_is_not_run(home, server):
    import pickle

    folder = vit(home / "vit")
    (folder / "model.safetensors").unlink()

    class Touch:
        def __reduce__(self):
            return Path.touch, (Path(home / "executed"),)

    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Touch()}))
    url = strange(server, "another_json")
    line = one_line(nca(home, url, "measure", "--backbone", str(folder)))
    assert "no code in it was run" in line
    assert not (home / "executed").exists()
    shutil.rmtree(folder)
