"""The torture sees what is lost and, in its short form, finds nothing lost."""

import random
import shutil

import pandas as pd
import pytest
from commands import run

from resjax.system import checksums
from tests.torture import __main__ as torture
from tests.torture.flips import KINDS, damage, names
from tests.torture.verdicts import Ended, Tried, differs, faults, unsound

FILES = ("results.csv", "curves.csv", "store/a/metrics.jsonl")


@pytest.fixture
def sound(tmp_path):
    """What a run leaves, as far as it is compared."""
    folder = tmp_path / "sound"
    (folder / "store/a").mkdir(parents=True)
    for name in (*FILES, "store/a/done.json"):
        path = folder / name
        checksums.write(path.parent, path.name, f"what stands in {name}")
    return folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ("changed", "gone"))
def test_a_table_that_is_not_the_same_is_seen(tmp_path, sound, name, how):
    other = shutil.copytree(sound, tmp_path / "other")
    assert not differs(other, sound)
    (other / name).write_text("other numbers") if how == "changed" else (other / name).unlink()
    assert differs(other, sound) == str(other / name)


def test_a_file_that_does_not_match_its_checksum_is_seen(sound):
    assert not unsound(sound)
    (sound / "store/a/done.json").write_text("other numbers")
    assert unsound(sound).startswith(f"{sound}/store/a: done.json: FAILED")


def test_another_table_is_silent_if_nobody_says_so_and_lost_if_somebody_does(tmp_path, sound):
    other = shutil.copytree(sound, tmp_path / "other")
    well = Ended(0, "", "")
    assert not any(faults(well, other, sound).values())
    checksums.write(other, "results.csv", "other numbers")
    assert faults(well, other, sound) == {"lost": "", "silent": f"{other}/results.csv"}
    assert faults(Ended(1, "", "it is damaged"), other, sound) == {"lost": f"{other}: exit code 1: it is damaged"}


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
        ("/run/store/a/done.json is damaged: remove its folder\n", True),
        ("checkpoint /run/store/a/checkpoints/5 is damaged\n", True),
        ("/run/store/b/done.json is damaged\n", False),
        ("remove /run/store/a\n", True),
        ("something is wrong in /run/store\n", False),
        ("Traceback (most recent call last):\n/run/store/a/done.json\n", False),
        ("", False),
    ),
)
def test_a_line_names_a_file_or_its_network(tmp_path, said, named):
    path = tmp_path / "run/store/a/done.json"
    assert names(said.replace("/run", f"{tmp_path}/run"), path, tmp_path / "run") == named


def test_the_table_counts_what_was_tried():
    table = torture.counted(Tried("a", "b", lost=lost, seconds=len(lost)) for lost in ("", "gone", ""))
    (row,) = table.to_dict("records")
    assert row == {"what": "a", "where": "b", "times": 3, "named": 0, "lost": 1, "silent": 0, "seconds": 4.0}


@pytest.mark.slow
def test_the_short_form_loses_nothing(tmp_path):
    counts = {"kills": 3, "shared": 3, "flips": len(KINDS), "signals": 4, "disks": 2, "seconds": 1, "flags_tried": 17}
    flags = [f"--{name}={count}" for name, count in counts.items()]
    code, out, err = run("tests.torture", *flags, f"--workdir={tmp_path}/run")
    assert (code, err) == (0, ""), out
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert not table["lost"].any() and not table["silent"].any() and set(KINDS) <= set(table["where"])
    times = table.groupby("what")["times"].sum()
    assert times["kill -9"] >= 3 and times["SIGTERM"] == times["SIGINT"] == 2 and times["command line"] >= 17
