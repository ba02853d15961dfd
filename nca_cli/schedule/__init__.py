"""Noise levels: signal scale, noise scale, SNR, seeded noise and x_t. NumPy only.

A level mixes an image with noise, x_t = a_t·x0 + s_t·ε with ε ~ N(0, I), x0 in [-1, 1]. Which a and
s a model's t means is its schedule's business; nothing above this package assumes any of them.
"""

from nca_cli.schedule.exploding import VarianceExploding
from nca_cli.schedule.flow import FlowMatching
from nca_cli.schedule.level import CLEAN, Level, Schedule, kind_of
from nca_cli.schedule.noise import diffuse, seeded_noise, step_noise
from nca_cli.schedule.preserving import BETA_SCHEDULES, VariancePreserving
from nca_cli.schedule.sigma import NoiseSigma
