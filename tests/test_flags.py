import dataclasses
import itertools
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import depth_frontier, depth_scaling
from resjax.lab import flags, names, presets
from resjax.lab.workdir import work_directory
from resjax.system.errors import UserError


def parse(*arguments):
    return flags.parse(depth_scaling.Config, ["depth_scaling", *arguments])


def test_without_flags_the_defaults_of_the_dataclass_hold():
    assert parse() == depth_scaling.Config()


def test_flags_become_values_of_the_fields_types():
    parsed = parse(
        "--depths=4,20", "--connections=plain,scaled(alpha=1,beta=0.1)", "--learning_rate=1e-3", "--tensorboard"
    )
    assert parsed.depths == (4, 20) and parsed.connections == ("plain", "scaled(alpha=1,beta=0.1)")
    assert parsed.learning_rate == 0.001 and parsed.tensorboard is True


@pytest.mark.parametrize(
    ("argument", "message"),
    (
        ("--dephts=4", "Unknown command line flag 'dephts'. Did you mean: depths"),
        ("--depths=0", "--depths=0: must be at least 1"),
        ("--depths=-3", "--depths=-3: must be at least 1"),
        ("--depths=abc", "abc"),
        ("--depths=", "give one value or several"),
        ("--depths=4,4", "give one value or several different"),
        ("--seeds=0", "--seeds=0: must be at least 1"),
        ("--learning_rate=nan", "--learning_rate=nan: must be at least 0"),
        ("--scaling=middle", "--scaling=middle: must be one of test, inverted"),
        ("stray", "unexpected argument 'stray'"),
    ),
)
def test_bad_flags_are_refused(argument, message):
    with pytest.raises(UserError) as error:
        parse(argument)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_help_has_a_page_on_every_preset():
    assert parse("--help") == parse("-h") == "" and parse("--help=presets") == "presets"
    page = flags.TOPICS["presets"]()
    for name, values in presets.PRESETS.items():
        line = next(after for before, after in itertools.pairwise(page.splitlines()) if before.strip() == name)
        again = parse(
            *shlex.split(
                line.replace("--depth=", "--depths=")
                .replace("--connection=", "--connections=")
                .replace("--norm=", "--norms=")
            )
        )
        assert again == dataclasses.replace(parse(f"--preset={name}"), preset=""), values


@pytest.mark.parametrize("experiment", (depth_scaling, depth_frontier))
def test_every_field_is_explained_in_the_help(experiment):
    text = flags._help(experiment, experiment.Config)
    for field in dataclasses.fields(experiment.Config):
        assert f"--{field.name}=" in text and field.metadata["help"] in text


def test_every_option_that_changes_results_has_a_work_directory_of_its_own():
    default = depth_scaling.Config(norms=("batch",))  # one, as --block needs
    other = {bool: True, int: 7, float: 0.5, str: "post", tuple: (1,)}
    for field in dataclasses.fields(default):
        if field.name in ("workdir", "shard", "workers"):
            continue
        value = (*field.metadata["choices"], other[type(field.default)])[len(field.metadata["choices"]) - 1]
        needed = {"distributed": True, "coordinator": "here:1"}  # by others
        changed = dataclasses.replace(default, **needed | {field.name: value})
        paths = {work_directory("x", each, {}).path for each in (changed, default)}
        assert (len(paths) == 2) == field.metadata["changes_results"], field.name


@pytest.mark.parametrize(
    "arguments",
    (
        (),
        ("--depths=4,20", "--connections=plain,scaled(alpha=1,beta=0.1)", "--fsdp", "--learning_rate=1e-3"),
        ("--network=resnet", "--augment=crop(pad=1),flip", "--sweep=width=8,16 steps=1"),
        ("--network=preact", "--shortcut=projection", "--nofsdp", "--store=with space", "--workers=3"),
        ("--preset=resnet110_cifar10", "--seeds=5"),
    ),
)
def test_a_command_line_made_of_a_configuration_asks_for_it_again(arguments):
    config = parse(*arguments)
    again = parse(*flags.command_line(config, {"workers": 2}))
    assert again == dataclasses.replace(config, preset="", workers=2)


literals = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.tuples(st.integers())
)


@given(st.dictionaries(st.sampled_from(("alpha", "beta", "power")), literals))
def test_arguments_of_names_are_python_literals(arguments):
    text = "scaled(" + ",".join(f"{key}={value!r}" for key, value in arguments.items()) + ")"
    assert names.parse(text, "connection") == ("scaled", arguments)


@pytest.mark.parametrize("text", ("f(", "f(1)", "f(x=__import__('os'))", "f(**{})", "f()g", "a b", ""))
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UserError):
        names.parse(text, "connection")


def test_lists_of_names_split_outside_parentheses():
    assert names.split("a, b(x=1,y=2),c:D(z=(1,2))") == ("a", "b(x=1,y=2)", "c:D(z=(1,2))")
    assert names.split("a(x=1,y=(0.08,1.0)),b") == ("a(x=1,y=(0.08,1.0))", "b")
    assert names.split("a(x=(1,2") == ("a(x=(1,2",)  # which no name is
