"""A real Slurm on this machine: job steps, an array, a process killed in the middle and requeued.

    make cluster            (apt-get install slurm-wlm munge, and run as root)

One node, with daemons of its own in a temporary folder. Everything asked for must be in the store
at the end, with the numbers of one process alone, and nothing computed twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PROGRAMS = ("slurmctld", "slurmd", "munged", "srun", "sbatch", "scontrol")
PORTS = 16817
IMAGES = 12
PATIENCE = 900.0
CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=600
SchedulerParameters=sched_min_interval=500000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""


def missing() -> str:
    """What keeps a cluster from being started here, or an empty text."""
    lacking = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if lacking:
        return f"no {', '.join(lacking)}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "only root may start its daemons"


PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@dataclass
class Cluster:
    """A Slurm of one node, whose files lie in `home`."""

    home: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """For its programs and for what they run."""
        here = str(Path(__file__).parents[1])
        return {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.home / "slurm.conf"),
                "PYTHONPATH": here, "NCA_CACHE": str(self.home / "cache")}  # fmt: skip

    def start(self) -> None:
        """Daemons up, and the node ready for work."""
        for folder in ("state", "spool"):
            (self.home / folder).mkdir()
        key, socket = self.home / "munge.key", self.home / "munge.socket"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.home.chmod(0o755)
        host = os.uname().nodename.partition(".")[0]
        text = CONFIGURATION.format(host=host, home=self.home, port=PORTS, next_port=PORTS + 1,
                                    cores=os.cpu_count())  # fmt: skip
        (self.home / "slurm.conf").write_text(text)
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket}",
                     f"--pid-file={self.home}/munge.pid", f"--log-file={self.home}/munge.log",
                     f"--seed-file={self.home}/munge.seed")  # fmt: skip
        self._wait("munge", lambda: socket.exists())
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D")
        self._wait("a node", lambda: "idle" in self.told("sinfo", "-h", "-o", "%T"))

    def _daemon(self, *words: str) -> None:
        with open(self.home / f"{words[0]}.out", "wb") as out:
            self.daemons.append(subprocess.Popen(words, stdout=out, stderr=out,
                                                 env=self.environment))  # fmt: skip

    def _wait(self, what: str, there: object) -> None:
        until = time.monotonic() + 60
        while not there():  # type: ignore[operator]
            if time.monotonic() > until:
                raise RuntimeError(f"{what} does not come up; see {self.home}/*.log")
            time.sleep(0.2)

    def told(self, *words: str) -> str:
        """What one of its programs prints."""
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment)
        return done.stdout + done.stderr

    def batch(self, script: str, *options: str) -> str:
        """Submit a script; the job's number."""
        file = self.home / f"job-{time.monotonic_ns()}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n")
        logs = f"--output={self.home}/job-%A-%a.log", "--open-mode=append"
        return self.told("sbatch", "--parsable", *logs, *options, str(file)).strip()

    def logs(self, job: str) -> str:
        """What the tasks of a job printed."""
        files = sorted(self.home.glob(f"job-{job}-*.log"))
        return "\n".join(file.read_text() for file in files)

    def ended(self, job: str) -> set[str]:
        """Wait for a job; the states in which its tasks ended."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            text = self.told("scontrol", "show", "job", job)
            states = {
                word.partition("=")[2] for word in text.split() if word.startswith("JobState=")
            }
            if states and not states & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}:
                return states
            time.sleep(0.5)
        raise RuntimeError(f"job {job} does not end: {self.told('squeue')}")

    def stop(self) -> None:
        """End the daemons, the ones that were started here."""
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A Slurm as long as the `with` lasts."""
    with tempfile.TemporaryDirectory(prefix="nca-slurm-") as name:
        made = Cluster(Path(name))
        try:
            made.start()
            yield made
        finally:
            made.stop()


# -- what must come out ----------------------------------------------------------------------------


def main() -> None:
    """All of it, one after another; a line each."""
    if why := missing():
        print(f"cluster: skipped ({why})")
        return
    from bench.kill import tensors
    from bench.material import noise_pictures, tiny_model

    with tempfile.TemporaryDirectory() as name, cluster() as slurm:
        folder = Path(name)
        folder.chmod(0o755)
        model, images = tiny_model(folder / "model"), noise_pictures(folder / "images", IMAGES)
        words = [sys.executable, "-m", "nca_cli", "reconstruct", str(images), "--model", str(model),
                 "--t", "0:1000:200", "--sampler", "ddim", "--sampler", "one-step",
                 "--offline", "--json"]  # fmt: skip
        line = " ".join(words)
        subprocess.run([*words, "--store", str(folder / "alone")], check=True,
                       capture_output=True, env=slurm.environment)  # fmt: skip
        alone = tensors(folder / "alone")
        steps(slurm, f"{line} --store {folder / 'steps'}", alone)
        check("a job's steps", alone, folder / "steps")
        array(slurm, f"{line} --store {folder / 'array'}", alone)
        check("an array", alone, folder / "array")
        requeued(slurm, f"{line} --store {folder / 'killed'}", folder, alone)
        check("killed and requeued", alone, folder / "killed")


def computed(text: str) -> list[int]:
    """How many samples each process said it computed."""
    import json

    return [json.loads(row)["computed"] for row in text.splitlines() if row.startswith("{")]


def reconstructions(tensors: dict[tuple, np.ndarray]) -> int:
    """How many samples are no noise."""
    return sum(name != "noise" for _, name, *_ in tensors)


def steps(slurm: Cluster, line: str, alone: dict[tuple, np.ndarray]) -> None:
    """`srun -n 2`: both compute, one speaks."""
    said = slurm.told("srun", "-n", "2", *line.split())
    shares = computed(said)
    assert (sum(shares), len(shares)) == (reconstructions(alone), 2), said
    assert (said.count("share 0/2, as srun says"), said.count("share 1/2")) == (1, 0), said


def array(slurm: Cluster, line: str, alone: dict[tuple, np.ndarray]) -> None:
    """`sbatch --array`, with numbers that begin at 1."""
    job = slurm.batch(line, "--array=1-3")
    assert slurm.ended(job) == {"COMPLETED"}, slurm.logs(job)
    shares = computed(slurm.logs(job))
    assert (sum(shares), len(shares)) == (reconstructions(alone), 3), slurm.logs(job)


def requeued(slurm: Cluster, line: str, folder: Path, alone: dict[tuple, np.ndarray]) -> None:
    """One process of two is killed while it computes; the job goes into the queue again."""
    from bench.kill import tensors

    task = f"echo $$ > {folder}/pid-$SLURM_PROCID; exec {line}"
    job = slurm.batch(f"srun -n 2 bash -c '{task}'", "-n", "2", "--requeue")
    until = time.monotonic() + PATIENCE
    while len(list((folder / "killed").glob("*/*/ddim-*.h5"))) < 3:
        assert time.monotonic() < until, slurm.logs(job)
        time.sleep(0.01)
    os.kill(int((folder / "pid-1").read_text()), 9)
    assert slurm.ended(job) == {"FAILED"}, slurm.logs(job)
    kept = reconstructions(tensors(folder / "killed"))
    assert 0 < kept < reconstructions(alone), "killed too late to lose anything"
    before = len(computed(slurm.logs(job)))
    slurm.told("scontrol", "requeue", job)
    assert slurm.ended(job) == {"COMPLETED"}, slurm.logs(job)
    again = computed(slurm.logs(job))[-2:]
    assert sum(again) == reconstructions(alone) - kept, (before, slurm.logs(job))


def check(what: str, alone: dict[tuple, np.ndarray], store: Path) -> None:
    """Everything is there, with the numbers of one process, and nothing twice."""
    from bench.kill import tensors, verified
    from nca_cli.store import Store

    found = tensors(store)
    assert found.keys() == alone.keys()
    worst = max(float(np.abs(found[key] - alone[key]).max()) for key in alone)
    largest = max(float(np.abs(each).max()) for each in alone.values())
    assert worst <= 1e-5 * largest, worst
    assert all(len(each) == len(each.t) for each in Store(store).select())
    print(f"cluster: {what}: {len(found)} samples in {verified(store)} files, "
          f"{worst:.1g} from one process: yes", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
