"""What the messages of an experiment call its networks."""

import pytest

from resjax.lab.bench import Bench
from resjax.lab.site import gallery
from resjax.lab.trial import Trial, Varied, varied

STUDIES = {name: module.STUDY for name, module in gallery.experiments().items()}


@pytest.mark.parametrize("name", STUDIES)
def test_no_two_networks_of_an_experiment_have_one_name(name):
    trials = [trial for trial in STUDIES[name].trials(STUDIES[name].config()) if isinstance(trial, Varied)]
    bench = Bench(None, None, None, None, varied(trials))
    assert len({bench.label(trial) for trial in trials}) == len(trials)


def test_what_differs_is_told():
    trials = [Trial(seed=seed, width=width) for seed in range(2) for width in (8, 16)]
    assert varied(trials) == ["width"] and varied(trials[::2]) == varied([]) == []
    assert Bench(None, None, None, None, ["width"]).label(trials[1]) == f"{trials[1].label} width=16"
