"""Gallery, columns and the README's list are what docstrings and published tables say."""

import json
import re
import shlex

import pytest

from resjax.lab import blocks, flags, sweep
from resjax.lab.options import relevant
from resjax.lab.site import gallery, index, published
from resjax.lab.site.claims import CLAIMS
from resjax.lab.site.found import FOUND

FOLDERS = [(name, folder) for name in gallery.ORDER for folder in published.folders(name)]


def test_the_gallery_is_not_stale():
    assert (gallery.ROOT / "docs/gallery.md").read_text() == gallery.gallery(), "run python -m resjax.lab.site.gallery"


def test_the_columns_are_not_stale():
    assert (gallery.ROOT / "docs/columns.md").read_text() == gallery.columns(), "run python -m resjax.lab.site.gallery"


def test_the_page_of_claims_is_not_stale():
    page = index.index(gallery.experiments())
    assert (gallery.ROOT / "docs/index.html").read_text() == page, "run python -m resjax.lab.site.gallery"


def test_every_claim_has_a_verdict_a_figure_a_command_and_a_time():
    page = (gallery.ROOT / "docs/index.html").read_text()
    rows = re.findall(r"<tr><td>(.*?)</tr>", page.partition('data-name="claims"')[2].partition("</table>")[0])
    assert len(rows) == len(FOUND) + len(CLAIMS) >= 15
    for row, (_, folders, _) in zip(rows, (*FOUND, *CLAIMS), strict=True):
        cells = row.split("</td><td>")
        assert re.search(r"<strong>(holds|does not hold|undecided)", cells[1])
        assert cells[2].count("<code>python -m experiments.") == len(folders) and "figure.png" in cells[3]
        own = published.experiment(folders[0]) == folders[0]
        assert re.match(r"[\w ]+ (minutes?|hours?) on 2 cores" if own else "not timed", cells[4])


def test_the_readme_is_not_stale():
    assert (gallery.ROOT / "README.md").read_text() == gallery.readme(), "run python -m resjax.lab.site.gallery"


def test_every_experiment_is_in_the_gallery():
    files = {path.stem for path in (gallery.ROOT / "experiments").glob("*.py")} - {"__init__"}
    assert files == set(gallery.ORDER)


@pytest.mark.parametrize("name", gallery.ORDER)
def test_every_experiment_says_what_was_found_and_what_it_cannot_say(name):
    text = gallery.experiments()[name].__doc__
    assert re.search(r"\n\nFound, [^:]*on 2 CPU cores[^:]*:", text) and "\n\nNot shown: " in text


@pytest.mark.parametrize(("name", "folder"), FOLDERS)
def test_published_tables_have_the_columns_that_are_said(name, folder):
    study = gallery.experiments()[name].STUDY
    config = flags.parse(study.config, shlex.split(published.command(folder))[2:])
    for table, found in published.tables(folder).items():
        own = study.tables[table]
        counted = blocks.column(config) if "depth" in own else {}
        assert list(found.columns) == list(dict.fromkeys([*sweep.fields(config), *counted, *own]))


def test_every_published_folder_is_that_of_an_experiment_and_tells_of_its_machine():
    others = {"anatomy", "operations", "throughput", "scale", "torture"}
    folders = {path.name for path in published.RESULTS.iterdir()}
    assert {folder for _, folder in FOLDERS} == folders - others
    assert [name for name in folders - others if not (published.RESULTS / name / "env.json").exists()] == []


@pytest.mark.parametrize(("name", "folder"), FOLDERS)
def test_the_command_shown_asks_for_what_was_recorded(name, folder):
    config = gallery.experiments()[name].STUDY.config
    asked = flags.parse(config, shlex.split(published.command(folder))[2:])
    assert {"experiment": name} | relevant(asked) == {"experiment": name} | relevant(config()) | recorded(folder)


def recorded(folder):
    return json.loads((published.RESULTS / folder / "config.json").read_text())


@pytest.mark.parametrize("name", gallery.ORDER)
def test_an_experiment_is_one_short_file(name):
    assert len((gallery.ROOT / f"experiments/{name}.py").read_text().splitlines()) <= 150


def test_all_experiments_together_are_short():
    files = list((gallery.ROOT / "experiments").glob("*.py"))
    assert sum(len(path.read_text().splitlines()) for path in files) <= 142 * len(files)
