"""Concepts with known truth: how well a probe still reads them from a reconstruction.

A probe is a function from pictures to numbers, one set per concept. nca ships one that reads
the factors of its portraits; users bring labels as CSV and a probe of their own.
"""

from nca_cli.concepts.curves import (
    Reading,
    concept_curves,
    concept_error,
    concept_readings,
    retention,
)
from nca_cli.concepts.probe import Concept, FunctionProbe, Probe, fit_probe, load_probe
from nca_cli.concepts.retained import ConceptRetention, concept_retention
from nca_cli.concepts.truth import Truth, factor_labels, portrait_truth, read_labels
