"""In a notebook, things show themselves; and the example notebook runs from top to bottom."""

import ast
import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from stores import commit, full_store

import nca_cli
from nca_cli.errors import NcaError
from nca_cli.figures.grid import compose_grid
from nca_cli.images import sample_images
from nca_cli.report import build_report
from nca_cli.store import Filters, Store

NOTEBOOK = Path(__file__).parent.parent / "docs" / "example.ipynb"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return full_store(tmp_path_factory.mktemp("notebook") / "store")


def run(cells, namespace):
    """Run code cells in order in one namespace; the value of each cell's last line."""
    for cell in cells:
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(NOTEBOOK), "exec"), namespace)
        yield last and eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), namespace)


def test_the_example_notebook_runs_and_its_last_numbers_fall_with_noise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = json.loads(NOTEBOOK.read_text())
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "outputs are not committed"
    shown = list(run(cells, {}))
    assert set(shown[-1]) == {"one-step", "reference:copy"}
    for psnr in shown[-1].values():
        assert len(psnr) == 5
        assert psnr == sorted(psnr, reverse=True)
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF-")
    assert any(hasattr(value, "_repr_html_") for value in shown)
    assert any(hasattr(value, "_repr_png_") for value in shown)


def test_a_store_shows_its_models_and_what_they_hold(store):
    html = store._repr_html_()
    assert "toy-" in html
    assert "ddim-50, one-step" in html
    assert Store(store.root / "none")._repr_html_().endswith("no store yet</p>")


def test_an_artifact_shows_its_levels_seeds_and_tensors(store):
    artifact = next(iter(store.select(Filters(samplers=["ddim"], images=["cat"]))))
    html = next(a for a in store.select(Filters(samplers=["ddim"])) if not a.is_noise)._repr_html_()
    assert artifact.image_name == "cat"
    assert "100, 300, 600" in html
    assert "(6, 3, 16, 16) float32" in html


def test_hostile_names_are_text_in_html(tmp_path):
    name = "<script>alert(1)</script>"
    artifact = commit(Store(tmp_path), [100], image=name.replace("/", ""))
    assert "<script>" not in artifact._repr_html_()
    assert "&lt;script&gt;" in artifact._repr_html_()


def test_a_damaged_artifact_says_so_instead_of_failing(tmp_path):
    artifact = commit(Store(tmp_path), [100])
    artifact.parts[0].path.write_bytes(b"nonsense")
    fresh = next(iter(Store(tmp_path).select(Filters())))
    assert "damaged" in fresh._repr_html_()


def test_a_grid_shows_its_own_pixels(store, tmp_path):
    grid = compose_grid(store, Filters(images=["cat"], seeds=[0]), cell=16)
    (tmp_path / "shown.png").write_bytes(grid._repr_png_())
    with Image.open(tmp_path / "shown.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(grid.image()))


# -- labelled arrays and tables --------------------------------------------------------------------


def test_tensors_come_as_labelled_arrays_exactly_as_stored(store):
    data = nca_cli.Store(store.root).to_xarray()["toy"]
    assert data.x0_hat.dims == ("image", "sampler", "t", "seed", "channel", "height", "width")
    assert list(data.sampler.values) == ["ddim-50", "one-step"]
    for artifact in store.select(Filters(images=["dog"], samplers=["ddim"])):
        name = "x_t" if artifact.is_noise else "x0_hat"
        chosen = data[name].sel(image="dog", t=300, seed=1)
        chosen = chosen if artifact.is_noise else chosen.sel(sampler="ddim-50")
        np.testing.assert_array_equal(chosen, artifact.read(name, [(300, 1)])[0])
    np.testing.assert_array_equal(data.log_snr, [-1.0, -3.0, -6.0])


def test_what_the_api_computes_can_be_looked_at_at_once(tmp_path):
    done = nca_cli.noise_images(sample_images()[0], models=["wiener"], t=[300], size=16,
                                store=tmp_path / "store")  # fmt: skip
    assert done.store.to_xarray()["wiener"].x_t.shape == (1, 1, 1, 3, 16, 16)


def test_what_is_not_stored_is_nan_and_filters_choose(tmp_path):
    made = full_store(tmp_path / "store")
    commit(made, [900], image="cat")
    data = nca_cli.Store(made.root).to_xarray(Filters(t=[600, 900]))["toy"]
    assert list(data.t.values) == [600, 900]
    there = np.isfinite(data.x0_hat.sel(sampler="ddim-50", t=900)).all(
        ("channel", "height", "width")
    )
    assert there.sel(image="cat").values.tolist() == [True, False]
    assert not there.sel(image="dog").any()


def test_too_much_for_memory_is_refused_before_anything_is_read(store):
    with pytest.raises(NcaError, match="more than 1e-05 GB"):
        nca_cli.Store(store.root).to_xarray(most_gb=1e-5)
    with pytest.raises(NcaError, match="no tensor is called 'noise'"):
        nca_cli.Store(store.root).to_xarray(names=["noise"])


def test_the_table_is_that_of_the_csv(store, tmp_path):
    build_report(store, None, csv=tmp_path / "v.csv")
    table = nca_cli.Store(store.root).to_dataframe()
    written = pandas.read_csv(tmp_path / "v.csv")
    pandas.testing.assert_frame_equal(table, written)
    means = table[table.measure == "mse"].groupby(["sampler", "t"]).value.mean()
    assert means.shape == (9,)
