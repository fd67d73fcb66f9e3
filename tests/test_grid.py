"""--sweep: the product of values of any options, with a column each."""

import dataclasses

import pandas as pd
import pytest
from product_study import STUDY, Config

from experiments import depth_scaling
from resjax.lab import sweep
from resjax.system.errors import UserError
from resjax.training import compilation


def combinations(text, **options):
    """What is swept, combination by combination, and the configurations."""
    return zip(*sweep.combinations(depth_scaling.Config(sweep=text, **options)), strict=True)


def test_nothing_swept_is_one_combination():
    config = depth_scaling.Config()
    assert sweep.combinations(config) == [({}, config)]


def test_the_product_with_the_last_option_fastest_and_values_of_the_options_types():
    swept, configs = combinations("learning_rate=0.1,1 width=8,16")
    pairs = [(rate, width) for rate in (0.1, 1.0) for width in (8, 16)]
    assert [tuple(values.values()) for values in swept] == pairs and list(swept[0]) == ["learning_rate", "width"]
    assert [(config.learning_rate, config.width) for config in configs] == pairs
    assert isinstance(swept[2]["learning_rate"], float)


def test_a_list_is_swept_element_by_element_with_commas_and_spaces_inside_parentheses():
    swept, configs = combinations("connections=plain,scaled(alpha=1, beta=0.1) fsdp=false,True")
    assert swept[3] == {"connections": "scaled(alpha=1, beta=0.1)", "fsdp": True}
    assert [config.connections for config in configs][::2] == [("plain",), ("scaled(alpha=1, beta=0.1)",)]
    assert [config.fsdp for config in configs] == [False, True] * 2


def test_every_network_that_is_swept_has_its_own_width_order_and_shortcut():
    _, configs = combinations("network=dense,resnet,preact")
    own = [(config.width, config.order, config.shortcut) for config in configs]
    assert own == [(64, "pre", "projection"), (16, "post", "pad"), (16, "pre", "pad")]


def test_what_was_asked_for_beside_a_swept_network_stands():
    _, configs = combinations("network=dense,resnet", width=8)
    assert [config.width for config in configs] == [8, 8]


def test_a_width_that_is_swept_beside_the_network_stands():
    _, configs = combinations("network=resnet,dense width=8,32")
    assert [config.width for config in configs] == [8, 32, 8, 32]


@pytest.mark.parametrize(
    ("text", "says"),
    (
        ("learning_rat=1", "'learning_rat' cannot be swept; give an option of this experiment, perhaps learning_rate"),
        ("workdir=a,b", "'workdir' cannot be swept"),
        ("sweep=a", "'sweep' cannot be swept"),
        ("preset=a", "'preset' cannot be swept"),
        ("width=8 width=16", "'width' cannot be swept"),
        ("width", "give option=value,value, and a space before the next option"),
        ("width=", "give option=value,value"),
        ("width=8;depths=4", "width=8;depths=4: must be a whole number"),
        ("width=8,x", "width=x: must be a whole number"),
        ("width=1.5", "width=1.5: must be a whole number"),
        ("learning_rate=fast", "learning_rate=fast: must be a number"),
        ("fsdp=maybe", "fsdp=maybe: must be true or false"),
        ("width=-1", "--width=-1: must be at least 0"),
        ("learning_rate=1,0.1,1.0", "learning_rate=1,0.1,1.0: give different values"),
        ("depths=0", "--depths=0: must be at least 1"),
        ("scaling=middle", "--scaling=middle: must be one of test, inverted"),
    ),
)
def test_what_cannot_be_swept_is_refused(text, says):
    with pytest.raises(UserError) as error:
        sweep.combinations(depth_scaling.Config(sweep=text))
    assert says in str(error.value) and "\n" not in str(error.value) and error.value.exit_code == 2


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a study of numbers in this process: its table."""
    monkeypatch.setattr(compilation, "keep", lambda folder: None)

    def run(study=STUDY, **options):
        study.run(Config(workdir=str(tmp_path), **options))
        return pd.read_csv(tmp_path / "results.csv")

    return run


def test_what_is_swept_stands_first_in_every_table(run, tmp_path):
    table = run(depths=(3, 1), sweep="factor=2,0.5 square=true,false")
    assert list(table.columns) == ["factor", "square", "depth", "value"]
    expected = [
        (factor, square, depth, depth * factor ** (1 + square))
        for factor in (2.0, 0.5)
        for square in (True, False)
        for depth in (3, 1)
    ]
    assert list(table.itertuples(index=False, name=None)) == expected
    assert list(pd.read_csv(tmp_path / "long.csv").columns) == ["factor", "square", "depth", "at"]


def test_a_list_that_is_swept_has_its_column_beside_the_trials(run):
    table = run(sweep="depths=1,2")
    assert list(table.columns) == ["depths", "depth", "value"] and table["depth"].tolist() == [1, 2]


@pytest.mark.filterwarnings("error")
def test_every_combination_has_a_figure_that_says_so(run, tmp_path):
    run(sweep="factor=2,0.5")
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {"figure-factor=2.0.png", "figure-factor=0.5.png"}


def test_a_study_that_tells_it_by_colour_has_one_figure(run, tmp_path):
    run(dataclasses.replace(STUDY, colored=True), sweep="factor=2,0.5")
    assert [path.name for path in tmp_path.glob("*.png")] == ["figure.png"]


def test_every_combination_has_a_summary_of_its_own(run, capsys):
    run(dataclasses.replace(STUDY, colored=True), depths=(7,), sweep="factor=2,3")
    shown = capsys.readouterr().out
    first = shown.index("factor 2.0")
    second = shown.index("factor 3.0")
    assert "14" in shown[first:second] and "14" not in shown[second:] and "21" in shown[second:]
