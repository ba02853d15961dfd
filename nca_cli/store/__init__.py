"""The artifact store: layout, artifacts, names, atomic merge, query, pack and verify."""

from nca_cli.store.artifact import Artifact
from nca_cli.store.gaps import Gap
from nca_cli.store.location import Location
from nca_cli.store.names import Name, Namer, Names
from nca_cli.store.samples import Key, Part, Samples
from nca_cli.store.select import Filters, ModelFilter
from nca_cli.store.store import NAME_HINT, Place, Store
from nca_cli.store.unmet import unfitted, unmet
from nca_cli.store.unstored import unstored
