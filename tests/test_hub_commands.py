"""The aliases of the field through a real HTTP hub, in the exact layouts of the originals."""

import os

import pytest
import warm
from hub import Hub, listening
from pipelines import like_celebahq, like_ldm_celebahq

NCA = "from nca_cli.__main__ import main; main()"


@pytest.fixture(scope="module")
def server():
    """One address for all hubs, so that what asks them starts warm."""
    with listening() as server:
        yield server


def nca(folder, hub, *arguments, run=warm.run):
    """The program in its own process, with its own hub cache."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": "hf",
        "NCA_STORE": str(folder / "store"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return run(NCA, *arguments, cwd=folder, env=environment)


@pytest.mark.parametrize(
    ("alias", "repo", "make"),
    [
        ("ddim", "google/ddpm-ema-celebahq-256", like_celebahq),
        ("ldm", "CompVis/ldm-celebahq-256", like_ldm_celebahq),
    ],
)
def test_an_alias_is_fetched_once_and_then_works_without_the_hub(
    alias, repo, make, faces, tmp_path, server
):
    with Hub(server) as hub:
        hub.add(repo, make(tmp_path / "repo"))
        first = nca(
            tmp_path,
            hub.url,
            "reconstruct",
            faces,
            "--model",
            alias,
            "--t",
            "100,555",
            "--steps",
            "10",
        )
        assert first.returncode == 0, first.stderr
    address, hub.broken, asked = hub.url, True, len(hub.requests)
    assert len(first.stdout.split()) == 3
    assert "pickle" in first.stderr, "weights from a .bin are worth a note"
    more = nca(
        tmp_path,
        address,
        "reconstruct",
        faces,
        "--model",
        alias,
        "--t",
        "100,300,555",
        "--steps",
        "10",
    )
    assert more.returncode == 0, more.stderr
    assert "3 of 9 to compute" in more.stderr
    for command in (
        ["grid", "-o", "grid.png", "--strict"],
        ["report", "-o", "report.html"],
        ["verify"],
    ):
        run = nca(
            tmp_path, address, *command, *(["--model", alias] if command[0] != "verify" else [])
        )
        assert run.returncode == 0, run.stderr
    assert len(hub.requests) == asked


@pytest.mark.parametrize("alias", ["ddim", "ldm"])
def test_without_the_hub_and_with_nothing_cached_there_is_one_clear_line(alias, faces, tmp_path):
    with Hub() as hub:
        address = hub.url
    run = nca(tmp_path, address, "reconstruct", faces, "--model", alias, run=warm.cold)
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert run.stderr.startswith("error: model ")
    assert not (tmp_path / "store").exists()
