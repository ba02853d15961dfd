"""nca: what does a diffusion model know at each noise level?

Every command has a Python twin. They are loaded on first use, so that importing `nca_cli` costs
nothing and only what computes loads torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Filters": "nca_cli.store",
    "NcaError": "nca_cli.errors",
    "Store": "nca_cli.store",
    "build_report": "nca_cli.report",
    "compose_grid": "nca_cli.grid",
    "find_model": "nca_cli.models",
    "import_pairs": "nca_cli.imports",
    "measure_store": "nca_cli.measures",
    "noise_images": "nca_cli.engine",
    "plot_curves": "nca_cli.plot",
    "reconstruct": "nca_cli.engine",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'nca_cli' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
