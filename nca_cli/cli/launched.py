"""Which process of how many this is, by torchrun, accelerate launch, srun or a Slurm array."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from nca_cli.devices import cores
from nca_cli.errors import UsageError
from nca_cli.shard import Shard

TORCHRUN, SRUN, ARRAY = "torchrun", "srun", "Slurm array"


@dataclass(frozen=True)
class Launch:
    """One of `count` processes of a job."""

    by: str
    job: str
    """The same for all of its processes."""
    index: int
    count: int
    local: int = 0
    """Which of the processes on its machine."""
    beside: int = 1
    """How many there are on its machine."""

    @cached_property
    def shard(self) -> Shard:
        """Its share of the work."""
        return Shard(self.index, self.count)

    @property
    def leads(self) -> bool:
        """Whether it speaks for all of them."""
        return self.index == 0

    @property
    def ends_together(self) -> bool:
        """Whether one process that fails has the others ended."""
        return self.by == TORCHRUN

    @property
    def again(self) -> bool:
        """Whether another job may have the same name later."""
        return self.by == TORCHRUN

    @property
    def cores(self) -> int | None:
        """Cores of its machine that are its own; `None`: all that it may use are."""
        if self.beside == 1:
            return None
        return max(1, min(cores(), (os.cpu_count() or 1) // self.beside))

    def device(self, wanted: str) -> str:
        """`auto` means one of the machine's devices for each process: see `pick_device`."""
        return f"auto:{self.local}" if wanted == "auto" else wanted


def launched(said: Mapping[str, str] | None = None) -> Launch | None:
    """What the environment says; `None` where this process is alone. Raises `UsageError`."""
    said = os.environ if said is None else said
    inner, outer = _of_torchrun(said) or _of_step(said), _of_array(said)
    if inner and outer:
        index = outer.index * inner.count + inner.index
        inner = replace(inner, job=f"{outer.job}-{inner.job}", index=index,
                        count=outer.count * inner.count)  # fmt: skip
    found = inner or outer
    return found if found and found.count > 1 else None


def _number(said: Mapping[str, str], name: str) -> int | None:
    text = said.get(name, "")
    return int(text) if text.isdecimal() else None


def _of_torchrun(said: Mapping[str, str]) -> Launch | None:
    """torchrun, and what starts processes as it does: `accelerate launch`, DeepSpeed."""
    index, count, local = (_number(said, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if index is None or count is None or local is None or index >= count:
        return None
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    job = "-".join(filter(None, (said.get(name) for name in names)))
    return Launch(TORCHRUN, job, index, count, local, _number(said, "LOCAL_WORLD_SIZE") or 1)


def _of_step(said: Mapping[str, str]) -> Launch | None:
    """A task of `srun`. A batch script itself has a number of its own too, but no step."""
    index, count = _number(said, "SLURM_PROCID"), _number(said, "SLURM_STEP_NUM_TASKS")
    if "SLURM_STEP_ID" not in said or index is None or count is None or index >= count:
        return None
    job = f"{said.get('SLURM_JOB_ID', '')}.{said['SLURM_STEP_ID']}"
    beside = -(-count // (_number(said, "SLURM_STEP_NUM_NODES") or 1))
    return Launch(SRUN, job, index, count, _number(said, "SLURM_LOCALID") or 0, beside)


def _of_array(said: Mapping[str, str]) -> Launch | None:
    """A task of `sbatch --array`, whose numbers may begin anywhere and be evenly spaced."""
    names = ("ID", "MIN", "MAX", "COUNT")
    task, first, last, count = (_number(said, f"SLURM_ARRAY_TASK_{name}") for name in names)
    if task is None or first is None or last is None or not count:
        return None
    step, odd = divmod(last - first, max(1, count - 1))
    if odd or (count > 1 and (task - first) % step):
        raise UsageError(f"the numbers of this Slurm array do not say which share of {count} "
                         f"task {task} is", "use --shard I/N")  # fmt: skip
    index = (task - first) // step if count > 1 else 0
    return Launch(ARRAY, said.get("SLURM_ARRAY_JOB_ID", ""), index, count)
