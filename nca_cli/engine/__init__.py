"""The engine: plan what is missing, run it in continuous batches, commit as it finishes."""

from nca_cli.engine.batching import Engine
from nca_cli.engine.noise import Noising
from nca_cli.engine.plan import Plan
from nca_cli.engine.request import Request, noise_plans, recipes_of, reconstruction_plans
from nca_cli.engine.run import Reconstruction
from nca_cli.engine.work import Work, followed, noisings, reconstructions
from nca_cli.shard import Shard
