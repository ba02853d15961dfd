"""Statistics over stored reconstructions: curves, half-levels, stages, references, bits.

`docs/statistics.md` says what each number is. Functions of rows (`Value`) need no store; those
about pairs, variance and references read tensors. Nothing here loads torch, and
`remember` alone writes: what was made of tensors, beside the store.
"""

from nca_cli.analysis.analyse import Analysis, analyse
from nca_cli.analysis.bits import bits
from nca_cli.analysis.bootstrap import MIN_IMAGES, Estimate
from nca_cli.analysis.curves import Curve, Point, curves
from nca_cli.analysis.emergence import Emergence, LearnedOrder, emergences, learned_orders
from nca_cli.analysis.gaussian import MIN_REFERENCE
from nca_cli.analysis.halflevel import HalfLevel, Turn, half_levels, orders
from nca_cli.analysis.p2 import BOUNDS, WeightShare, p2_weights, stage, stages, weight_shares
from nca_cli.analysis.pairs import PairCurve, pair_distances
from nca_cli.analysis.references import Excess, Reference, excess, references
from nca_cli.analysis.values import ANY_SEED, REFERENCE, Value
from nca_cli.analysis.variance import variances
