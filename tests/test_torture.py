"""The torture sees what is lost and, in its short form, finds nothing lost."""

import random
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from commands import ROOT, run

from tests.torture import __main__ as torture
from tests.torture.commands import differs
from tests.torture.flips import KINDS, damage, names


def some_run(path):
    """What a run leaves, as far as it is compared."""
    (path / "points/a").mkdir(parents=True)
    for name in ("results.csv", "curves.csv", "figure.png", "points/a/metrics.jsonl", "points/a/done.json"):
        (path / name).write_text(f"what stands in {name}")
    return path


@pytest.mark.parametrize("name", ("results.csv", "curves.csv", "points/a/metrics.jsonl"))
@pytest.mark.parametrize("how", ("changed", "gone"))
def test_a_table_that_is_not_the_same_is_seen(tmp_path, name, how):
    sound = some_run(tmp_path / "sound")
    lost = shutil.copytree(sound, tmp_path / "lost")
    assert not differs(lost, sound)
    (lost / name).write_text("other numbers") if how == "changed" else (lost / name).unlink()
    assert differs(lost, sound) == name


def test_damage_is_one_bit_or_the_end_of_a_file(tmp_path):
    sound, draw, path = bytes(range(200)), random.Random(0), tmp_path / "file"
    for _ in range(99):
        path.write_bytes(sound)
        how = damage(path, draw)
        found = path.read_bytes()
        if how.startswith("flip"):
            assert sum((one ^ other).bit_count() for one, other in zip(found, sound, strict=True)) == 1
        else:
            assert len(found) < len(sound) and sound.startswith(found)


@pytest.mark.parametrize(
    ("said", "named"),
    (
        ("/run/points/a/done.json is damaged: remove its folder\n", True),
        ("checkpoint /run/points/a/checkpoints/5 is damaged\n", True),
        ("/run/points/b/done.json is damaged\n", False),
        ("remove /run/points/a\n", True),
        ("something is wrong in /run/points\n", False),
        ("Traceback (most recent call last):\n/run/points/a/done.json\n", False),
        ("", False),
    ),
)
def test_a_line_names_a_file_or_its_network(tmp_path, said, named):
    path = tmp_path / "run/points/a/done.json"
    assert names(said.replace("/run", f"{tmp_path}/run"), path, tmp_path / "run") == named


def test_the_table_counts_what_was_tried():
    rows = [{"what": "a", "where": "b", "lost": lost, "seconds": 2.0 + lost} for lost in (0, 1, 0)]
    (row,) = torture.counted([*rows])
    assert row == {"what": "a", "where": "b", "times": 3, "named": 0, "lost": 1, "seconds": 3.0}


def test_compiled_programs_carry_a_checksum():
    script = """
import pathlib, sys, types, zlib
sys.modules["zstandard"] = sys.modules["compression.zstd"] = types.ModuleType("zstandard")
from resjax.training import compilation
compilation.keep(pathlib.Path("runs"))
from jax._src import compilation_cache
assert compilation_cache.compress_executable(b"program") == zlib.compress(b"program")
assert compilation_cache.decompress_executable(zlib.compress(b"program")) == b"program"
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.slow
def test_the_short_form_loses_nothing(tmp_path):
    counts = {"kills": 3, "flips": len(KINDS), "signals": 4, "disks": 2, "locks": 1, "flags_tried": 17}
    flags = [f"--{name}={count}" for name, count in counts.items()]
    code, out, err = run("tests.torture", *flags, f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), out
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert not table["lost"].any() and set(KINDS) <= set(table["where"])
    times = table.groupby("what")["times"].sum()
    assert times["kill -9"] >= 3 and times["SIGTERM"] == times["SIGINT"] == 2 and times["command line"] >= 17
