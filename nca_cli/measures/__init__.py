"""Measures over a store: every value is computed once and kept beside its artifact.

    values = measure_store(Store("nca-store"))

`metrics` says what is measured and how to add to it; `kept` where the values lie. Only measures
that need a network load torch, and they are computed only when their weights are named.
"""

from nca_cli.measures.run import REFERENCES, Measuring, Settings, measure_store
from nca_cli.metrics import Value

__all__ = ["REFERENCES", "Measuring", "Settings", "Value", "measure_store"]
