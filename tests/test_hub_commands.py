"""The aliases of the field through a real HTTP hub, in the exact layouts of the originals."""

import os
import subprocess
import sys

import pytest
from hub import Hub
from pipelines import like_celebahq, like_ldm_celebahq


def nca(folder, hub, *arguments):
    """The program in its own process, with its own hub cache."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(folder / "hf"),
        "NCA_STORE": str(folder / "store"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "nca_cli", *map(str, arguments)],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
    )


@pytest.mark.parametrize(
    ("alias", "repo", "make"),
    [
        ("ddim", "google/ddpm-ema-celebahq-256", like_celebahq),
        ("ldm", "CompVis/ldm-celebahq-256", like_ldm_celebahq),
    ],
)
def test_an_alias_is_fetched_once_and_then_works_without_the_hub(
    alias, repo, make, faces, tmp_path
):
    with Hub() as hub:
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
        address = hub.url
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


@pytest.mark.parametrize("alias", ["ddim", "ldm"])
def test_without_the_hub_and_with_nothing_cached_there_is_one_clear_line(alias, faces, tmp_path):
    with Hub() as hub:
        address = hub.url
    run = nca(tmp_path, address, "reconstruct", faces, "--model", alias)
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert run.stderr.startswith("error: model ")
    assert not (tmp_path / "store").exists()
