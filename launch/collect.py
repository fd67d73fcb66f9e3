"""From the units of a sweep to what one run would have left: its tables and figures.

A point is the same whichever run has made it, and its folder is named after it alone. So the units' points are put
into one work directory, and there the experiment itself is run, with all its flags: it finds every point done and
writes its tables. Nothing here knows what is in a table; a point that no unit has made is made then.
"""

import csv
import io
import json
import os
import shutil
import subprocess

from etils import epath

from launch import tethered
from launch.directory import SweepDirectory, named
from launch.units import Combination
from resjax.lab import config
from resjax.system.errors import Failure, UserError
from resjax.system.files import read_json, write


def run(sweep: SweepDirectory):
    """Merges the units and has the experiment write its tables and figures, once a combination of the grid.

    Raises:
      Failure: units are not done, or the experiment fails.
    """
    sweep.check(sweep.units)
    if missing := sweep.left(sweep.units):
        names = named([unit.name for unit in missing])
        raise Failure(f"{len(missing)} of {len(sweep.units)} units are not done: {names}")
    combinations = sweep.sweep.combinations()
    for combination in combinations:
        units = [sweep.workdir(unit) for unit in sweep.units if unit.combination == combination]
        folder = merged(sweep, combination)
        for unit in units:
            merge(unit / "points", folder / "points")
        name = read_json(units[0] / "config.json")["experiment"]
        whole = {"experiment": name} | config.relevant(sweep.sweep.config(combination.flags))
        write(folder / "config.json", json.dumps(whole, indent=1))  # as the experiment does in a folder of its own
        _write_tables(sweep, combination, folder)
    if combinations[0].choice:
        write_results(sweep, combinations)


def gather(sweep: SweepDirectory, others: list[SweepDirectory]):
    """Takes over the units that were done in other directories, as those of shards that share no file system.

    Raises:
      UserError: one of them is of another sweep.
    """
    for other in others:
        if other.sweep.asked() != sweep.sweep.asked():
            raise UserError(f"--from={other.path}: is another sweep than {sweep.path}")
    if len(cpus := {each.cpus for each in (sweep, *others)}) > 1:
        print(f"computed with {sorted(cpus)} threads, which on CPUs can change last digits: --cpus makes them equal")
    for other in others:
        for unit in other.units:
            if (end := other.end(unit)) and end.code == 0 and not sweep.end(unit):
                merge(other.workdir(unit) / "points", sweep.workdir(unit) / "points")
                shutil.copy(other.workdir(unit) / "config.json", sweep.workdir(unit))
                sweep.finish(unit, end)


def merged(sweep: SweepDirectory, combination: Combination) -> epath.Path:
    """The work directory of the whole."""
    return sweep.path / "merged" / combination.name


def merge(source: epath.Path, target: epath.Path):
    """Puts the finished points of one work directory into another one: as links, or as copies where there are none."""
    target.mkdir(parents=True, exist_ok=True)
    for point in source.glob("*"):
        temporary = target / f"{point.name}.tmp"
        if (point / "done.json").exists() and not (target / point.name / "done.json").exists():
            for stale in (temporary, target / point.name):
                shutil.rmtree(stale, ignore_errors=True)
            shutil.copytree(point, temporary, copy_function=_link)
            os.rename(temporary, target / point.name)


def _link(source: str, target: str):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_tables(sweep: SweepDirectory, combination: Combination, folder: epath.Path):
    command = tethered.command(sweep.command(combination.flags, folder))
    environment = os.environ | {"NPROC": str(sweep.cpus)}
    ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise Failure(f"{folder}: {(ended.stderr.strip().splitlines() or ['the experiment gave no reason'])[-1]}")


def write_results(sweep: SweepDirectory, combinations: list[Combination]):
    """Writes one results.csv over all combinations: a column each flag of the grid that has none yet, then theirs."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    for place, combination in enumerate(combinations):
        with open(merged(sweep, combination) / "results.csv", newline="") as file:
            header, *rows = csv.reader(file)
        own = [(name, value) for name, value in combination.choice if name not in header]
        if place == 0:
            lines.writerow([*(name for name, _ in own), *header])
        lines.writerows([*(value for _, value in own), *row] for row in rows)
    write(sweep.path / "merged" / "results.csv", out.getvalue())
