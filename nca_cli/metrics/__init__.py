"""Metrics: how far a reconstruction x̂0 is from its image x0.

A metric takes two float arrays `(C, H, W)` in [-1, 1] and gives one number, or several by name
(of the octave bands, say), which are stored as `kept/0`, `kept/1`, … x̂0 is clipped to [-1, 1]
first, as it is when drawn: stored one-step reconstructions are not. What is not finite gives NaN,
and so does a picture that a metric cannot be taken of; never a wrong number.

A metric of your own, in five lines, and then `measure_store(store, names=["brightness"])`:

    from nca_cli.metrics import METRICS, Metric

    def brightness(x0, x0_hat):
        return float(abs(x0.mean() - x0_hat.clip(-1, 1).mean()))

    METRICS["brightness"] = Metric(brightness, "Brightness", "difference of means", "lower")

Its values are kept beside the artifacts like those of the others, and measured again when the
text of the function changes. In a module of its own it is computed in parallel; in a script or a
notebook, in one process.
"""

from nca_cli.metrics.fidelity import colour, edges, ms_ssim, mse, psnr, ssim
from nca_cli.metrics.measuring import Measuring, measure_store
from nca_cli.metrics.prepared import Prepared
from nca_cli.metrics.registry import METRICS, Metric, Settings, Value, described, measure
from nca_cli.metrics.sources import REFERENCES
from nca_cli.metrics.spectrum import band_edges, band_energies, coherence, kept
