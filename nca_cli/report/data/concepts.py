"""What is left of concepts whose truth is known."""

from __future__ import annotations

from nca_cli.concepts import (
    ConceptRetention,
    concept_curves,
    concept_retention,
    load_probe,
    portrait_truth,
    read_labels,
)
from nca_cli.concepts.retained import CONCEPT
from nca_cli.errors import NothingStored, StoreError
from nca_cli.report.request import ReportRequest
from nca_cli.store import Store


def read_concepts(store: Store, request: ReportRequest) -> ConceptRetention | None:
    """The concepts of the images in a report, where they are known.

    Without labels, those of the bundled portraits; where none of them is stored, or one of the
    artifacts is damaged (a note of the report names it), nothing. Raises as `concept_curves` where
    labels or a probe were named.
    """
    truth = read_labels(request.labels) if request.labels else portrait_truth()
    own = load_probe(request.probe) if request.probe else None
    try:
        found = concept_curves(store, request.filters, truth, own)
    except (NothingStored, StoreError):
        if request.labels or request.probe:
            raise
        return None
    return concept_retention(found.readings, found.notes, found.probed)


def concept_title(measure: str, found: ConceptRetention | None = None) -> str:
    """`concept/hair_length` → `hair length`; of a colour, `hair colour`."""
    colour = found is not None and f"{measure}_g" in found.measures
    return measure.removeprefix(CONCEPT).replace("_", " ") + (" colour" if colour else "")
