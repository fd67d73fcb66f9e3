"""A flipped bit or a truncation in every kind of file that runs leave: harmless or named, never silently used."""

import pathlib
import random
import shutil
import time
from collections.abc import Iterator

import jax

from tests.torture.commands import COMMAND, NETWORK, Commands, here
from tests.torture.verdicts import SAME, Ended, Tried, differs

CHECKPOINTS = "store/*/checkpoints/**/*"
KINDS = {  # of files, and what is done where one is damaged
    "config.json": ("again", "plot_only"),
    "env.json": ("again", "plot_only"),
    "results.csv": ("again", "plot_only"),
    "curves.csv": ("again", "plot_only"),
    "timings.csv": ("again", "plot_only"),
    "SHA256SUMS": ("again", "plot_only"),
    "*.p*": ("again", "plot_only"),
    "lock": ("again",),
    "store/compiled/*": ("command",),
    "store/*/config.json": ("again", "measure"),
    "store/*/metrics.jsonl": ("again", "measure"),
    "store/*/done.json": ("again", "measure"),
    "store/*/SHA256SUMS": ("again", "measure"),
    "store/*/lock": ("again", "measure"),
    "store/*/measured/*": ("measure",),
    CHECKPOINTS: ("again", "measure"),
}
BY_COMMAND = 0.1  # share of the flips after which a process of its own is started; most are used in this one
MEASURE = ("paths", "--depths=4,8", "--samples=2", *NETWORK)  # of the same networks, before and after training
MEASURED = "paths"  # its work directory, in that of the run
SAVED = "store/*/checkpoints/*[0-9]/_CHECKPOINT_METADATA"


def tried(commands: Commands, times: int, draw: random.Random) -> Iterator[Tried]:
    """So many flips: in what kind of file, and whether it was harmless, named or silently used."""
    jax.config.update("jax_compilation_cache_dir", str(commands.compiled))  # not in what is damaged
    reference = commands.reference()
    half = _half(commands)
    measured = shutil.copytree(reference, commands.folder("measured"))
    _use(commands, "measure", measured, by_command=True)
    for number in range(times):
        kind = list(KINDS)[number % len(KINDS)] if number < len(KINDS) or number % 2 else CHECKPOINTS
        use = draw.choice(KINDS[kind])
        sources = {"again": (reference, half), "command": (half,), "measure": (reference, measured)}
        source = draw.choice([each for each in sources.get(use, (reference,)) if any(each.glob(kind))])
        workdir = shutil.copytree(source, commands.folder("flipped"))
        path = draw.choice([path for path in sorted(workdir.glob(kind)) if path.is_file()])
        how = damage(path, draw)
        ended = _use(commands, use, workdir, by_command=draw.random() < BY_COMMAND)
        same = (f"{MEASURED}/results.csv", f"{MEASURED}/effective.csv") if use == "measure" else SAME
        other = "" if ended.code else differs(workdir, measured, same)
        named = names(ended.err, path, workdir)
        fault = ""
        if other or (ended.err and not named):
            fault = f"{path}: {how}, then {use}: {other} {ended.err}"
        else:
            shutil.rmtree(workdir)
        found = {"lost" if ended.err else "silent": fault}
        yield Tried(how.split()[0], kind, named=named, **found)


def damage(path: pathlib.Path, draw: random.Random) -> str:
    """Flips one bit of a file, or cuts it off; says which."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(max(1, len(content)))
    bit = draw.randrange(8)
    if not content or draw.random() < 0.25:
        path.write_bytes(content[:place])
        return f"truncation at byte {place}"
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"flip of bit {bit} of byte {place}"


def names(said: str, path: pathlib.Path, workdir: pathlib.Path) -> bool:
    """Whether a line or two, and no traceback, name a file, or something of its network."""
    folders = [folder for folder in path.parents if workdir / "store" in folder.parents]
    short = 0 < said.count("\n") <= 2 and "Traceback" not in said
    return short and any(str(place) in said for place in (path, *folders))


def _half(commands: Commands) -> pathlib.Path:
    """A run with one network trained and the other half trained."""
    workdir = commands.folder("half")
    process = commands.start(workdir, cached=False)
    while process.poll() is None:
        if list(workdir.glob("store/*/done.json")) and len(list(workdir.glob(SAVED))) > 3:
            process.terminate()
            break
        time.sleep(0.01)
    commands.end(process)
    return workdir


def _use(commands: Commands, use: str, workdir: pathlib.Path, by_command: bool) -> Ended:
    """Runs the experiment there again, draws its figures again, or measures something of its networks."""
    command = COMMAND
    if use == "plot_only":
        command = (*COMMAND, "--plot_only")
    if use == "measure":
        command = (*MEASURE, f"--store={workdir}/store")
        workdir = workdir / MEASURED
    if use == "command" or by_command:
        return commands.run(workdir, command=command, cached=use != "command")
    return here(*command, f"--workdir={workdir}")
