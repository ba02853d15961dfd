"""What nca parses, each with sound inputs to change and the call that reads them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soak.material import STORE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ADM = ("image_size = 8\nnum_channels = 32\nchannel_mult = [1, 1]\nnum_res_blocks = 1\n"
       "attention_resolutions = [4]\nnum_head_channels = 32\n")  # fmt: skip
SHORT_NAMES = """
[mine]
model = "wiener"
sampler = "one-step"
licence = "MIT"
[theirs]
model = "a/b"
steps = 20
"""


@dataclass(frozen=True)
class Parser:
    """`make` fills folders with sound inputs and yields each with the files that may change; `read`
    reads such a folder in which one file was changed."""

    make: Callable[[Path], Iterator[tuple[Path, Iterable[Path]]]]
    read: Callable[[Path, Path], None]


# --- pictures and arrays --------------------------------------------------------------------------

FORMATS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("png", "RGB", {}), ("png", "RGBA", {}), ("png", "P", {}), ("png", "L", {}),
    ("png", "I;16", {}), ("jpg", "RGB", {}), ("jpg", "CMYK", {}),
    ("jpg", "RGB", {"progressive": True}), ("gif", "P", {}),
    ("bmp", "RGB", {}), ("tif", "RGB", {}), ("tif", "RGB", {"compression": "tiff_lzw"}),
    ("tif", "RGB", {"compression": "tiff_deflate"}), ("tif", "RGB", {"compression": "jpeg"}),
    ("webp", "RGB", {}), ("webp", "RGBA", {"lossless": True}), ("ppm", "RGB", {}), ("pgm", "L", {}),
    ("jp2", "RGB", {}), ("avif", "RGB", {}), ("mpo", "RGB", {"save_all": True}),
    ("png", "RGB", {"icc_profile": True}), ("jpg", "RGB", {"icc_profile": True}),
    ("tif", "RGBA", {"icc_profile": True}), ("heic", "RGB", {}),
)  # fmt: skip


def picture(mode: str = "RGB", side: int = 24) -> Any:
    """A small picture of any kind."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def profile() -> bytes:
    """A colour profile that changes colours: sRGB, red and green exchanged."""
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"_XYZ").replace(b"gXYZ", b"rXYZ").replace(b"_XYZ", b"gXYZ")


def make_images(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = picture().getexif()
    exif[0x0112] = 6
    for number, (suffix, mode, settings) in enumerate(FORMATS):
        home = folder / str(number)
        home.mkdir()
        more = {"exif": exif} if suffix in ("jpg", "webp") and mode == "RGB" else {}
        if "icc_profile" in settings:
            more["icc_profile"] = profile()
        picture(mode).save(home / f"a.{suffix}", **{**settings, **more})
        yield home, [home / f"a.{suffix}"]


def read_image(_: Path, path: Path) -> None:
    from nca_cli.images import image_digest, load_image

    image_digest(path, 16)
    for fit, channels in (("crop", 3), ("pad", 1)):
        load_image(path, 16, fit, channels)


def make_arrays(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    for number, dtype in enumerate(("<f4", ">f8", "<f2")):
        home = folder / str(number)
        home.mkdir()
        np.save(home / "a.npy", np.zeros((3, 8, 8), dtype))
        yield home, [home / "a.npy"]


def read_array(_: Path, path: Path) -> None:
    from nca_cli.imports.pictures import read_original, read_reconstruction

    read_reconstruction(path)
    read_original(path, (3, 8, 8), "crop")


def make_archives(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    data = io.BytesIO()
    picture().save(data, "png")
    names = ("a.png", "b/c.png", "d.jpg")
    for number, kind in enumerate(("zip", "zip stored", "tar", "tar.gz", "tar.bz2", "tar.xz")):
        home = folder / str(number)
        home.mkdir()
        path = home / f"faces.{kind.split()[0]}"
        if kind.startswith("zip"):
            how = zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(path, "w", how) as archive:
                for name in names:
                    archive.writestr(name, data.getvalue())
        else:
            with tarfile.open(path, f"w:{kind[4:]}") as archive:
                for name in names:
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data.getvalue())
                    archive.addfile(entry, io.BytesIO(data.getvalue()))
        yield home, [path]


def read_archive(_: Path, path: Path) -> None:
    from nca_cli.errors import NcaError
    from nca_cli.images import find_images, image_digest, load_image

    for member in find_images([path])[:5]:
        try:
            image_digest(member, 16)
            load_image(member, 16)
        except NcaError:
            continue


# --- stores ---------------------------------------------------------------------------------------


def _stored(folder: Path) -> Path:
    from stores import full_store

    from nca_cli.metrics import measure_store

    measure_store(full_store(folder / STORE, images=("cat",)), names=["mse"])
    return folder / STORE


def make_artifacts(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    store = _stored(folder)
    yield folder, sorted(store.glob("*/*/*.h5"))


def make_packed(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    from nca_cli.store import Store
    from nca_cli.store.pack import pack

    pack(Store(_stored(folder)), folder / "packed.h5")
    shutil.rmtree(folder / STORE)
    yield folder, [folder / "packed.h5"]


def make_texts(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    store = _stored(folder)
    names = ("nca-store.json", "*/model.json", "*/*/*.metrics.json", ".index.jsonl")
    yield folder, [path for name in names for path in sorted(store.glob(name))]


def read_store(folder: Path, path: Path) -> None:
    """All that readers read, each for itself."""
    from nca_cli.errors import NcaError
    from nca_cli.metrics import measure_store
    from nca_cli.store import Store

    store = Store(path if path.name == "packed.h5" else folder / STORE)
    for artifact in store.select():
        for reading in (
            lambda each=artifact: each.read("x_t" if each.is_noise else "x0_hat", each.keys),
            lambda each=artifact: (each.header, each.datasets, each.log_snr, each.image_info),
            lambda each=artifact: (each.recipe, each.fixed("x0"), each._repr_html_()),
        ):
            try:
                reading()
            except NcaError:
                continue
    for model in store.models():
        store.model_info(model)
    measure_store(store, names=["mse"])


# --- models ---------------------------------------------------------------------------------------


def _pipelines(folder: Path) -> tuple[Path, Path]:
    from pipelines import tiny_latent, tiny_pixel

    return tiny_pixel(folder / "pixel"), tiny_latent(folder / "latent")


def make_configs(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    for home in _pipelines(folder):
        yield home, sorted(home.rglob("*.json"))


def make_safetensors(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    for home in _pipelines(folder):
        yield home, sorted(home.rglob("*.safetensors"))


def make_folders(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    for home in _pipelines(folder):
        (home / "unet" / "canary.py").write_text("open('executed', 'w')\n")
        yield home, sorted(path for path in home.rglob("*") if path.is_file())


def make_pickles(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    from pipelines import tiny_pixel

    home = tiny_pixel(folder / "pickled", weights="bin")
    yield home, sorted(home.rglob("*.bin"))


def read_model(folder: Path, _: Path) -> None:
    """Plan with a model and load its network."""
    from nca_cli.models import find_model, load_autoencoder, load_denoiser, recipe_for

    model = find_model(str(folder), offline=True)
    recipe_for(model, model.sampler)
    load_denoiser(model, device="cpu")
    if model.space.latent:
        load_autoencoder(model, device="cpu")


def make_checkpoints(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    import torch
    from adm_reference import P2, random_adm

    shape = {"image_size": 8, "num_channels": 32, "channel_mult": (1, 1), "num_res_blocks": 1,
             "attention_resolutions": (4,), "num_head_channels": 32}  # fmt: skip
    for number, zipped in enumerate((True, False)):
        home = folder / str(number)
        home.mkdir()
        state = random_adm(**P2 | shape).state_dict()
        torch.save(state, home / "net.pt", _use_new_zipfile_serialization=zipped)
        (home / "net.toml").write_text(ADM)
        yield home, [home / "net.pt"]


def make_flags(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    for home, _ in make_checkpoints(folder):
        yield home, [home / "net.toml"]


def read_checkpoint(folder: Path, path: Path) -> None:
    from nca_cli.models import find_model, load_denoiser

    shutil.rmtree(os.environ["NCA_CACHE"], ignore_errors=True)
    load_denoiser(find_model(f"adm:{folder / 'net.pt'}"), device="cpu")


def make_short_names(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    (folder / "models.toml").write_text(SHORT_NAMES)
    yield folder, [folder / "models.toml"]


def read_short_names(_: Path, path: Path) -> None:
    from nca_cli.models.aliases import user_aliases
    from nca_cli.models.find import origin_of

    os.environ["NCA_MODELS"] = str(path)
    for alias in user_aliases().values():
        alias.sampler  # noqa: B018
        origin_of(alias.source)


# --- tables and the rest --------------------------------------------------------------------------


def make_tables(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    rows = [("t", "seed", "original", "reconstruction", "sampler"), *(
        (str(100 * n), str(n), "a.png", "b.png", "ddim-50") for n in range(4))]  # fmt: skip
    for number, delimiter in enumerate(",;\t"):
        home = folder / str(number)
        home.mkdir()
        with open(home / "pairs.csv", "w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)
        yield home, [home / "pairs.csv"]
    (folder / "labels").mkdir()
    text = "image,smile,hair_r,hair_g,hair_b\na.png,1,0.1,0.2,0.3\nb.png,0,,na,yes\n"
    (folder / "labels" / "labels.csv").write_text(text)
    yield folder / "labels", [folder / "labels" / "labels.csv"]


def read_table(_: Path, path: Path) -> None:
    from nca_cli.concepts import read_labels
    from nca_cli.imports import read_csv

    if path.name == "labels.csv":
        read_labels(path)
    for pair in read_csv(path, on_error=lambda error: None):
        pair.sampler_and_steps  # noqa: B018


def make_schedules(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    betas = {"num_train_timesteps": 4, "trained_betas": [0.1, 0.2, 0.3, 0.4]}
    plain = {"num_train_timesteps": 1000, "beta_schedule": "scaled_linear", "beta_start": 1e-4,
             "beta_end": 0.02}  # fmt: skip
    for name, config in (("a.json", plain), ("b.json", betas)):
        (folder / name).write_text(json.dumps(config))
    yield folder, [folder / "a.json", folder / "b.json"]


def read_schedule(_: Path, path: Path) -> None:
    from nca_cli.imports import named_schedule

    levels = named_schedule(path)
    levels.log_snr(levels.check(1))


def make_probes(folder: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    from nca_cli.concepts.probe import SHIPPED

    shutil.copyfile(SHIPPED, folder / "probe.npz")
    yield folder, [folder / "probe.npz"]


def read_probe(_: Path, path: Path) -> None:
    from nca_cli.concepts import load_probe

    load_probe(str(path))


PARSERS = {
    "images": Parser(make_images, read_image),
    "arrays": Parser(make_arrays, read_array),
    "archives": Parser(make_archives, read_archive),
    "artifacts": Parser(make_artifacts, read_store),
    "packed stores": Parser(make_packed, read_store),
    "texts of stores": Parser(make_texts, read_store),
    "tables": Parser(make_tables, read_table),
    "schedules": Parser(make_schedules, read_schedule),
    "short names": Parser(make_short_names, read_short_names),
    "flags": Parser(make_flags, read_checkpoint),
    "configurations": Parser(make_configs, read_model),
    "safetensors": Parser(make_safetensors, read_model),
    "pickles": Parser(make_pickles, read_model),
    "checkpoints": Parser(make_checkpoints, read_checkpoint),
    "model folders": Parser(make_folders, read_model),
    "probes": Parser(make_probes, read_probe),
}
