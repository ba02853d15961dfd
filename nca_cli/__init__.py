"""nca: what does a diffusion model know at each noise level?

Every command has a Python twin. They are loaded on first use, so that importing `nca_cli` costs
nothing and only what computes loads torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Artifact": "nca_cli.store:Artifact",
    "Filters": "nca_cli.store:Filters",
    "NcaError": "nca_cli.errors:NcaError",
    "Store": "nca_cli.notebook:NotebookStore",
    "Watch": "nca_cli.watching:Watch",
    "build_report": "nca_cli.report:build_report",
    "cached_models": "nca_cli.models.checkpoints.kept:converted",
    "compose_grid": "nca_cli.figures.grid:compose_grid",
    "examine": "nca_cli.doctor:examine",
    "export_tensors": "nca_cli.export:export",
    "find_model": "nca_cli.models:find_model",
    "import_pairs": "nca_cli.imports:import_pairs",
    "list_models": "nca_cli.models:list_models",
    "measure_store": "nca_cli.metrics:measure_store",
    "merge_stores": "nca_cli.store.union:merge_stores",
    "noise_images": "nca_cli.twins:noise_images",
    "pack_store": "nca_cli.twins:pack_store",
    "plot_curves": "nca_cli.figures.curves:plot_curves",
    "plot_half_levels": "nca_cli.twins:plot_half_levels",
    "reconstruct": "nca_cli.twins:reconstruct",
    "removal": "nca_cli.store.remove:removal",
    "unpack_store": "nca_cli.twins:unpack_store",
    "verify_store": "nca_cli.twins:verify_store",
    "when_learned": "nca_cli.twins:when_learned",
    "watch": "nca_cli.watching:watch",
}
"""Name → where it is defined."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'nca_cli' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)
