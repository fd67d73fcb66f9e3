"""Gallery, columns and the README's list are what docstrings and published tables say."""

import re

import pytest

from resjax.lab import gallery


def test_the_gallery_is_not_stale():
    assert (gallery.ROOT / "docs/gallery.md").read_text() == gallery.gallery(), "run python -m resjax.lab.gallery"


def test_the_columns_are_not_stale():
    assert (gallery.ROOT / "docs/columns.md").read_text() == gallery.columns(), "run python -m resjax.lab.gallery"


def test_the_readme_is_not_stale():
    assert (gallery.ROOT / "README.md").read_text() == gallery.readme(), "run python -m resjax.lab.gallery"


def test_every_experiment_is_in_the_gallery():
    files = {path.stem for path in (gallery.ROOT / "experiments").glob("*.py")} - {"__init__"}
    assert files == set(gallery.ORDER)


@pytest.mark.parametrize("name", gallery.ORDER)
def test_every_experiment_says_what_was_found_and_what_it_cannot_say(name):
    text = gallery.experiments()[name].__doc__
    assert re.search(r"\n\nFound, [^:]*on 2 CPU cores[^:]*:", text) and "\n\nNot shown: " in text


@pytest.mark.parametrize("name", gallery.ORDER)
def test_published_tables_have_the_columns_that_are_said(name):
    study = gallery.experiments()[name].STUDY
    for table, found in gallery.published(name).items():
        assert list(found.columns) == list(study.tables[table])


@pytest.mark.parametrize("name", gallery.ORDER)
def test_an_experiment_is_one_short_file(name):
    assert len((gallery.ROOT / f"experiments/{name}.py").read_text().splitlines()) <= 150


def test_all_experiments_together_are_short():
    files = list((gallery.ROOT / "experiments").glob("*.py"))
    assert sum(len(path.read_text().splitlines()) for path in files) <= 142 * len(files)
