"""What to rent of Cloud TPU, and the command lines for it: data, nothing runs here.

Written against gcloud 528 and https://cloud.google.com/tpu/docs/queued-resources.
"""

import dataclasses
import pathlib
import re
import shlex

from resjax.lab.config import option
from resjax.system.errors import UserError

ROOT = pathlib.Path(__file__).parent.parent
RUNTIMES = {
    "v4": "tpu-ubuntu2204-base",
    "v5litepod": "v2-alpha-tpuv5-lite",
    "v5p": "v2-alpha-tpuv5",
    "v6e": "v2-alpha-tpuv6e",
}
ONE_HOST = 8  # chips (v5e, v6e) or TensorCores (v4, v5p) of the largest slice that is one machine
PYTHON = "3.12"  # uv brings it along: the machines' own is 3.10
PATIENCE = 120  # seconds that the other workers may take to end after worker 0: longer than a heartbeat's timeout
CONNECTION = ("-oConnectTimeout=20", "-oServerAliveInterval=30")  # of ssh, which else waits for a lost machine
BUCKET = r"|gs://[a-z0-9][-_.a-z0-9]{1,220}[a-z0-9](/[-\w.=]+)*", "gs://BUCKET or gs://BUCKET/FOLDER"
FORMS = {
    "name": (r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "lowercase letters, digits and hyphens, as deep-1"),
    "project": (r"|([a-z][-.a-z0-9]*:)?[a-z][-a-z0-9]{4,28}[a-z0-9]", "a project's id, as my-project-1"),
    "zone": (r"|[a-z]+-[a-z]+\d+-[a-z0-9]+", "a zone, as us-east5-b"),
    "accelerator_type": (
        rf"({'|'.join(RUNTIMES)})-[1-9]\d*",
        "a generation and a size, as v5litepod-8 or v6e-16; known are " + ", ".join(RUNTIMES),
    ),
    "runtime_version": (r"|[a-z0-9][-.a-z0-9]*", "a TPU software version, as v2-alpha-tpuv6e"),
    "valid_until_duration": (r"|(\d+[smhd])+", "a duration, as 30m, 6h or 1d12h"),
    "bucket": BUCKET,
    "datasets": BUCKET,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of `launch.tpu`."""

    name: str = option("resjax", "of the queued resource, the slice and its work directory runs/NAME")
    accelerator_type: str = option("v6e-8", "generation and size: v5litepod-8, v6e-8 (one host), v6e-16 (several), …")
    zone: str = option("", "where (default: gcloud's own)")
    project: str = option("", "whose account (default: gcloud's own)")
    runtime_version: str = option("", "software of the machines (default: the generation's)")
    spot: bool = option(False, "cheaper, and taken away at any time; needs --bucket")
    valid_until_duration: str = option("", "how long to wait for the slice: 6h, 1d12h (default: until it is there)")
    bucket: str = option("", "gs://BUCKET/FOLDER: the work directory is FOLDER/NAME in it, which outlives every slice")
    datasets: str = option(
        "", "gs://BUCKET/FOLDER: prepared TFDS sets, copied to ~/tensorflow_datasets of each machine"
    )
    tries: int = option(5, "how often to start again what was preempted or lost a worker")
    poll: float = option(30.0, "seconds between two looks at the state of the slice")
    execute: bool = option(False, "run the commands; else they are only printed")
    command: tuple[str, ...] = ()

    def __post_init__(self):
        for field, (form, right) in FORMS.items():
            value = getattr(self, field)
            if not re.fullmatch(form, value, re.ASCII):
                raise UserError(f"--{field}={value}: must be {right}")
        if self.tries < 0:
            raise UserError(f"--tries={self.tries}: must be at least 0")
        if not self.poll > 0:
            raise UserError(f"--poll={self.poll}: must be more than 0")
        if self.spot and not self.bucket:
            raise UserError("--spot: a preempted slice takes its disks along: give --bucket=gs://…")
        if self.several_hosts and not self.bucket:
            raise UserError(
                f"--accelerator_type={self.accelerator_type}: is several hosts, which need one work directory that "
                "all see: give --bucket=gs://…"
            )

    @property
    def several_hosts(self) -> bool:
        """Whether the slice is more than one machine."""
        return int(self.accelerator_type.rpartition("-")[2]) > ONE_HOST

    @property
    def local(self) -> pathlib.Path:
        """Where the work directory comes to on this machine."""
        return pathlib.Path("runs", self.name)

    @property
    def remote(self) -> str:
        """The work directory on the machines."""
        return f"{self.bucket}/{self.name}" if self.bucket else f"runs/{self.name}"


def experiment(config: Config) -> list[str]:
    """What every worker runs: a module, the flags that are added here, and its own, which may have a -- in them."""
    module, *arguments = config.command
    distributed = ["--distributed"] if config.several_hosts else []
    return [module, f"--workdir={config.remote}", *distributed, *arguments]


def folder(config: Config) -> list[str]:
    """Makes the place for the results."""
    return ["mkdir", "-p", str(config.local)]


def archive(config: Config) -> list[str]:
    """The last commit, without results/, which is nearly all of it."""
    options = ["--format=tar.gz", f"--output={_tarball(config)}"]
    return ["git", "-C", str(ROOT), "archive", *options, "HEAD", "--", ".", ":!results"]


def create(config: Config) -> list[str]:
    """Asks for the slice; comes back at once, with the request in the queue."""
    options = [
        f"--node-id={config.name}",
        f"--accelerator-type={config.accelerator_type}",
        f"--runtime-version={config.runtime_version or RUNTIMES[config.accelerator_type.partition('-')[0]]}",
    ]
    if config.spot:
        options.append("--spot")
    if config.valid_until_duration:
        options.append(f"--valid-until-duration={config.valid_until_duration}")
    return _tpus(config, "queued-resources", "create", config.name, *options)


def state(config: Config) -> list[str]:
    """Prints the state, and behind a tab why it FAILED; nothing if there is no such queued resource.

    `list`, not `describe`: for this, a filter that finds nothing is better than the wording of an error.
    """
    columns = "--format=value(state.state,state.failedData.error.message)"
    return _tpus(config, "queued-resources", "list", f"--filter=name~/{config.name}$", columns)


def copy(config: Config) -> list[str]:
    """Copies the archive to every worker."""
    return _scp(config, str(_tarball(config)), f"{config.name}:resjax.tar.gz", "--worker=all")


def install(config: Config) -> list[str]:
    """Unpacks and installs it, with a Python of its own, and copies data sets; also over an earlier one."""
    datasets = (
        f" && gcloud storage rsync {config.datasets} ~/tensorflow_datasets --recursive" if config.datasets else ""
    )
    return _ssh(
        config,
        "all",
        "mkdir -p resjax && tar -xzf resjax.tar.gz -C resjax && cd resjax"
        " && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv"
        f" && python3 -m uv venv --quiet --allow-existing --python={PYTHON} .venv"
        " && python3 -m uv pip install --quiet -c constraints.txt -e '.[tpu,gcs]'"  # etils reads gs:// with gcsfs
        + datasets,
    )


def start(config: Config) -> list[str]:
    """Starts the experiment on every worker in a session of its own, so that no lost connection ends it.

    A process that is left from before is killed first: two must not write to one work directory.
    """
    words = [".venv/bin/python", "-m", *experiment(config)]
    # without JAX_PLATFORMS, JAX would make do with the CPU where it cannot have the TPU
    command = f"JAX_PLATFORMS=tpu,cpu PYTHONUNBUFFERED=1 {shlex.join(words)}; echo $? > exit-code"
    return _ssh(
        config,
        "all",
        "cd resjax || exit; test -e pid && kill -KILL -- -$(cat pid) 2> /dev/null; rm -f exit-code;"
        f" setsid bash -c {shlex.quote(command)} > run.log 2>&1 < /dev/null & echo $! > pid",
    )


def follow(config: Config) -> list[str]:
    """Prints what worker 0 prints, until its experiment has ended."""
    return _ssh(config, "0", "cd resjax && tail --pid=$(cat pid) -n +1 -f run.log")


def answers(config: Config) -> list[str]:
    """Prints `worker: ` and the exit code of the experiment, or `running` or `lost`, for each worker."""
    return _ssh(
        config,
        "all",
        f"cd resjax || {{ echo worker: lost; exit; }}; timeout {PATIENCE} tail --pid=$(cat pid) -f /dev/null; "
        "if kill -0 $(cat pid) 2> /dev/null; then echo worker: running; "
        "else echo worker: $(cat exit-code || echo lost); fi",
    )


def fetch(config: Config) -> list[str]:
    """Brings the work directory here, from the bucket or else from worker 0."""
    if config.bucket:
        return ["gcloud", "storage", "rsync", config.remote, str(config.local), "--recursive", *_ending(config)]
    return _scp(config, f"{config.name}:resjax/{config.remote}", str(config.local.parent), "--recurse", "--worker=0")


def delete(config: Config) -> list[str]:
    """Deletes the request and the slice, and waits until they are gone."""
    return _tpus(config, "queued-resources", "delete", config.name, "--force")


def _tarball(config: Config) -> pathlib.Path:
    return pathlib.Path(f"{config.local}.tar.gz").absolute()


def _ssh(config: Config, worker: str, line: str) -> list[str]:
    flags = (f"--ssh-flag={flag}" for flag in CONNECTION)
    return _tpus(config, "tpu-vm", "ssh", config.name, f"--worker={worker}", *flags, f"--command={line}")


def _scp(config: Config, *words: str) -> list[str]:
    return _tpus(config, "tpu-vm", "scp", *words, *(f"--scp-flag={flag}" for flag in CONNECTION))


def _tpus(config: Config, *words: str) -> list[str]:
    zone = [f"--zone={config.zone}"] if config.zone else []
    return ["gcloud", "compute", "tpus", *words, *zone, *_ending(config)]


def _ending(config: Config) -> list[str]:
    return [*([f"--project={config.project}"] if config.project else []), "--quiet"]
