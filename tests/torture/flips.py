"""A flipped bit or a truncation in every kind of file that a run leaves: harmless or named, never silently used."""

import contextlib
import hashlib
import io
import pathlib
import random
import shutil
import time
from collections.abc import Iterator

import jax
import numpy as np

from resjax.lab import other_runs as runs
from resjax.system.errors import UserError
from tests.torture.commands import Commands, differs, here

KINDS = {  # of files, and what is done with a run of which one is damaged
    "config.json": ("again", "plot_only"),
    "env.json": ("again", "plot_only"),
    "results.csv": ("again", "plot_only"),
    "curves.csv": ("again", "plot_only"),
    "timings.csv": ("again", "plot_only"),
    "tables.json": ("again", "plot_only"),
    "lock": ("again",),
    "compiled/*": ("command",),
    "points/*/config.json": ("again", "from"),
    "points/*/metrics.jsonl": ("again",),
    "points/*/done.json": ("again", "from"),
    "points/*/manifests/*": ("again", "from"),
    "points/*/checkpoints/**/*": ("again", "from"),
}
BY_COMMAND = 0.1  # share of the flips after which a process of its own is started; most are used in this one


def tried(commands: Commands, reference: pathlib.Path, times: int, draw: random.Random) -> Iterator[dict]:
    """A row for every flip: in what kind of file, and whether it was harmless, named or silently used."""
    jax.config.update("jax_compilation_cache_dir", str(commands.compiled))  # not in what is damaged
    half, sound = _half(commands), _weights(reference)
    for number in range(times):
        kind = list(KINDS)[number % len(KINDS)] if number < len(KINDS) or number % 2 else "points/*/checkpoints/**/*"
        use = draw.choice(KINDS[kind])
        source = {"again": draw.choice((reference, half)), "command": half}.get(use, reference)
        workdir = shutil.copytree(source, commands.folder("flipped"))
        path = draw.choice([path for path in sorted(workdir.glob(kind)) if path.is_file()])
        how = damage(path, draw)
        if use == "from":
            fault, said = _taken(workdir, sound)
        else:
            by_command = use == "command" or draw.random() < BY_COMMAND
            plot = ["--plot_only"] * (use == "plot_only")
            code, said = commands.run(workdir, *plot, cached=False) if by_command else here(workdir, *plot)
            fault = "" if code else differs(workdir, reference)
        named = names(said, path, workdir)
        if fault or (said and not named):
            commands.say(f"{path}: {how}, then {use}: {fault or 'not named'}: {said}")
        else:
            shutil.rmtree(workdir)
        lost = int(bool(fault or (said and not named)))
        yield {"what": how.split()[0], "where": kind, "named": int(named), "lost": lost}
        commands.advance()


def damage(path: pathlib.Path, draw: random.Random) -> str:
    """Flips one bit of a file, or cuts it off; says which."""
    content = bytearray(path.read_bytes())
    place, bit = draw.randrange(max(1, len(content))), draw.randrange(8)
    if not content or draw.random() < 0.25:
        path.write_bytes(content[:place])
        return f"truncation at byte {place}"
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"flip of bit {bit} of byte {place}"


def names(said: str, path: pathlib.Path, workdir: pathlib.Path) -> bool:
    """Whether a line or two, and no traceback, name a file, or something of its network."""
    folders = [folder for folder in path.parents if workdir in folder.parents and folder != workdir / "points"]
    short = 0 < said.count("\n") <= 2 and "Traceback" not in said
    return short and any(str(place) in said for place in (path, *folders))


def _half(commands: Commands) -> pathlib.Path:
    """A run with one network trained and the other half trained."""
    workdir = commands.folder("half")
    process = commands.start(workdir, cached=False)
    while process.poll() is None:
        if [*workdir.glob("points/*/done.json")] and len([*workdir.glob("points/*/manifests/*.json")]) > 3:
            process.terminate()
            break
        time.sleep(0.01)
    commands.end(process)
    return workdir


def _taken(workdir: pathlib.Path, sound: dict[str, str]) -> tuple[str, str]:
    """What is wrong with the networks that another experiment takes from a run (`--from`), and what it says."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            fault = "" if _weights(workdir) == sound else "other weights"
        except UserError as error:
            return "", f"{err.getvalue()}{error}\n"
    return fault, err.getvalue()


def _weights(workdir: pathlib.Path) -> dict[str, str]:
    """The checksum of every network's weights."""
    found = {}
    for point, folder in runs.networks_of(workdir):
        leaves = jax.tree.leaves(runs.restore(point, folder)[1].params)
        found[folder.name] = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
    return found
