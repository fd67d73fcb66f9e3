"""What to rent of Cloud TPU, and the command lines for it, of gcloud 528: data, nothing runs here."""

import dataclasses
import re
import shlex
import tempfile

from launch.command import ROOT
from resjax.lab.config import Options, option
from resjax.system.errors import UserError

RUNTIMES = dict(v4="tpu-ubuntu2204-base", v5litepod="v2-alpha-tpuv5-lite", v5p="v2-alpha-tpuv5", v6e="v2-alpha-tpuv6e")
ONE_HOST = 8  # chips (v5e, v6e) or TensorCores (v4, v5p) of the largest slice that is one machine
SCRATCH = tempfile.gettempdir()
PATIENCE = 120  # seconds that the other workers may take to end after worker 0: longer than a heartbeat's timeout
CONNECTION = ("-oConnectTimeout=20", "-oServerAliveInterval=30")  # of ssh, which else waits for a lost machine
BUCKET = r"|gs://[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9](/[-\w.=]+)*", "gs://BUCKET or gs://BUCKET/FOLDER"
FORMS = {
    "name": (r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "lowercase letters, digits and hyphens, as deep-1"),
    "accelerator_type": (rf"({'|'.join(RUNTIMES)})-[1-9]\d*", f"one of {', '.join(RUNTIMES)} and a size, as v6e-16"),
    "zone": (r"|[a-z]+-[a-z]+\d+-[a-z0-9]+", "a zone, as us-east5-b"),
    "valid_until_duration": (r"|(\d+[smhd])+", "a duration, as 30m, 6h or 1d12h"),
    "bucket": BUCKET,
    "datasets": BUCKET,
}


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """The options of `launch.tpu`."""

    name: str = option("resjax", "of the queued resource, the slice and its work directory runs/NAME")
    accelerator_type: str = option("v6e-8", "generation and size: v5litepod-8, v6e-8 (one host), v6e-16 (several), …")
    zone: str = option("", "where (default: gcloud's own, as the project is)")
    spot: bool = option(False, "cheaper, and taken away at any time; needs --bucket")
    reserved: bool = option(False, "from a reservation of the project")
    valid_until_duration: str = option("", "how long to wait for the slice: 6h, 1d12h (default: until it is there)")
    bucket: str = option("", "gs://BUCKET/FOLDER: the work directory is FOLDER/NAME in it, which outlives every slice")
    datasets: str = option("", "gs://BUCKET/FOLDER: prepared TFDS sets, copied to each machine")
    poll: float = option(30.0, "seconds between two looks at the slice", minimum=0.001)
    execute: bool = option(False, "run the commands; else they are only printed")
    command: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        for field, (form, right) in FORMS.items():
            if not re.fullmatch(form, value := getattr(self, field), re.ASCII):
                raise UserError(f"--{field}={value}: must be {right}")
        if self.spot and self.reserved:
            raise UserError("--spot: what is --reserved is not spot: give one of them")
        if (self.spot or self.several_hosts) and not self.bucket:
            raise UserError("--bucket: a slice that is --spot or several machines needs one: give gs://BUCKET/FOLDER")

    @property
    def several_hosts(self) -> bool:
        """Whether the slice is more than one machine."""
        return int(self.accelerator_type.rpartition("-")[2]) > ONE_HOST

    @property
    def remote(self) -> str:
        """The work directory on the machines."""
        return f"{self.bucket or 'runs'}/{self.name}"


def archive(config: Config) -> list[str]:
    """Packs the last commit, without results/, which is nearly all of it."""
    return ["git", "-C", ROOT, "archive", f"--output={SCRATCH}/{config.name}.tar.gz", "HEAD", "--", ".", ":!results"]


def create(config: Config) -> list[str]:
    """Asks for the slice; comes back at once, with the request in the queue."""
    runtime = RUNTIMES[config.accelerator_type.partition("-")[0]]
    kind = [f"--accelerator-type={config.accelerator_type}", f"--runtime-version={runtime}"]
    tier = ["--spot"] * config.spot + ["--reserved"] * config.reserved
    tier += [f"--valid-until-duration={config.valid_until_duration}"] * bool(config.valid_until_duration)
    return _tpus(config, "queued-resources", "create", config.name, f"--node-id={config.name}", *kind, *tier)


def state(config: Config) -> list[str]:
    """Prints the state, nothing if there is no slice, and why it FAILED; again until it is ACTIVE."""
    columns = "--format=value(state.state,state.failedData.error.message)"
    return _tpus(config, "queued-resources", "list", f"--filter=name~/{config.name}$", columns)


def copy(config: Config) -> list[str]:
    """Copies the archive to every worker."""
    return _scp(config, f"{SCRATCH}/{config.name}.tar.gz", f"{config.name}:resjax.tar.gz", "--worker=all")


def install(config: Config) -> list[str]:
    """Installs it, with a Python of its own (the machines' is 3.10), and copies data sets."""
    lines = [
        "mkdir -p resjax && tar -xzf resjax.tar.gz -C resjax && cd resjax",
        "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv",
        "python3 -m uv venv --quiet --allow-existing --python=3.12 .venv",
        "python3 -m uv pip install --quiet -c constraints.txt -e '.[tpu,gcs]'",
    ]
    if config.datasets:
        lines.append(f"gcloud storage rsync {config.datasets} ~/tensorflow_datasets --recursive")
    return _ssh(config, "all", " && ".join(lines))


def start(config: Config) -> list[str]:
    """Ends an earlier try, and starts the experiment on every worker; no lost connection ends it."""
    module, *words = config.command
    distributed = ["--distributed"] * config.several_hosts
    run = shlex.join([".venv/bin/python", "-m", module, f"--workdir={config.remote}", *distributed, *words])
    line = f"JAX_PLATFORMS=tpu,cpu PYTHONUNBUFFERED=1 {run}; echo $? > exit-code"  # never on the CPU for want of a TPU
    # run.log is a new file, not a shorter one: whoever still follows that of the earlier try would be told so
    before = "cd resjax || exit; test -e pid && kill -KILL -- -$(cat pid) 2> /dev/null; rm -f exit-code run.log; "
    return _ssh(config, "all", f"{before}setsid bash -c {shlex.quote(line)} > run.log 2>&1 < /dev/null & echo $! > pid")


def follow(config: Config) -> list[str]:
    """Shows what worker 0 prints, until its experiment has ended; again after a lost connection."""
    return _ssh(config, "0", "cd resjax && tail --pid=$(cat pid) -n +1 -f run.log")


def answers(config: Config) -> list[str]:
    """Says of each worker its exit code, or running: watch again, or lost: again from the copying."""
    line = (
        f"cd resjax || {{ echo worker: lost; exit; }}; timeout {PATIENCE} tail --pid=$(cat pid) -f /dev/null; "
        "if kill -0 $(cat pid) 2> /dev/null; then echo worker: running; "
        "else echo worker: $(cat exit-code || echo lost); fi"
    )
    return _ssh(config, "all", line)


def fetch(config: Config) -> list[str]:
    """Brings the work directory here."""
    if config.bucket:
        return ["gcloud", "storage", "rsync", config.remote, f"runs/{config.name}", "--recursive", "--quiet"]
    return _scp(config, f"{config.name}:resjax/runs", ".", "--recurse", "--worker=0")


def delete(config: Config) -> list[str]:
    """Deletes the slice, which costs money until then."""
    return _tpus(config, "queued-resources", "delete", config.name, "--force")


def _ssh(config: Config, worker: str, line: str) -> list[str]:
    flags = (f"--ssh-flag={flag}" for flag in CONNECTION)
    return _tpus(config, "tpu-vm", "ssh", config.name, f"--worker={worker}", *flags, f"--command={line}")


def _scp(config: Config, *words: str) -> list[str]:
    return _tpus(config, "tpu-vm", "scp", *words, *(f"--scp-flag={flag}" for flag in CONNECTION))


def _tpus(config: Config, *words: str) -> list[str]:
    return ["gcloud", "compute", "tpus", *words, *([f"--zone={config.zone}"] if config.zone else []), "--quiet"]
