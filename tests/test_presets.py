import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import depth_frontier, depth_scaling, stochastic_depth
from resjax import nn
from resjax.lab import building, flags, presets
from resjax.lab.optimizer import Optimizer
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

PARAMETERS = ("optimizer", "learning_rate", "schedule", "warmup_steps", "weight_decay", "clip_norm", "steps")


def parsed(*arguments, experiment=depth_scaling):
    return flags.parse(experiment.Config, ["command", *arguments])


def rates(config, steps):
    schedule = Optimizer(**{name: getattr(config, name) for name in PARAMETERS}).rate()
    return [round(float(schedule(step)), 8) for step in steps]


def test_the_recipe_of_he_2015():
    config = parsed("--preset=resnet56_cifar10")
    assert (config.dataset, config.depths, config.connections, config.norms) == (
        "cifar10",
        (56,),
        ("residual",),
        ("batch",),
    )
    assert (config.batch_size, config.weight_decay, config.steps) == (128, 1e-4, 64_000)
    assert config.optimizer == "sgd(momentum=0.9)" and config.augment == ("crop(pad=4)", "flip")
    assert (config.order, config.shortcut, config.width) == ("post", "pad", 16)
    assert rates(config, (0, 31_999, 32_001, 47_999, 48_001, 63_999)) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


def test_the_110_layer_network_warms_up():
    config = parsed("--preset=resnet110_cifar10")
    assert rates(config, (0, 399, 401, 31_999, 32_001, 48_001)) == [0.01, 0.01, 0.1, 0.1, 0.01, 0.001]


def test_the_recipe_of_the_wide_networks():
    config = parsed("--preset=wrn28_10_cifar100")
    epoch = 50_000 // 128
    assert config.steps == 200 * epoch and config.weight_decay == 5e-4
    boundaries = [at * epoch + d for at in (60, 120, 160) for d in (-1, 1)]
    assert rates(config, boundaries) == [0.1, 0.02, 0.02, 0.004, 0.004, 0.0008]


def test_the_recipe_of_stochastic_depth():
    config = parsed("--preset=stochastic110_cifar10")
    assert (config.depths, config.survival, config.drop, config.scaling) == (
        (110,),
        "linear(last=0.5)",
        "batch",
        "test",
    )
    epoch = 45_000 // 128
    boundaries = [at * epoch + d for at in (0, 250, 375) for d in (-1, 1)]
    assert config.steps == 500 * epoch and rates(config, boundaries[1:]) == [0.1, 0.1, 0.01, 0.01, 0.001]


def test_an_experiment_that_takes_several_values_gets_the_one_of_the_preset():
    assert parsed("--preset=stochastic110_cifar10", experiment=stochastic_depth).survival == ("linear(last=0.5)",)


def test_flags_beside_a_preset_win():
    config = parsed("--preset=plain20_cifar10", "--depths=56,110", "--learning_rate=0.3", "--augment=none", "--seeds=5")
    assert (config.depths, config.learning_rate, config.augment, config.seeds) == ((56, 110), 0.3, ("none",), 5)
    assert (config.connections, config.steps) == (("plain",), 64_000)


def test_an_experiment_takes_what_it_has_of_a_preset():
    config = parsed("--preset=preact1001_cifar10", experiment=depth_frontier)
    assert config.network == "bottleneck" and config.max_depth == depth_frontier.Config().max_depth


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_network_that_exists(name):
    recipe = presets.PRESETS[name]
    network = building.network(Trial(**recipe), classes=10)
    counted_out = 2 if recipe["network"].startswith("wide") else 0  # three projections less one head
    assert network.depth + counted_out == recipe["depth"]


FEATURES, INPUTS = -1, -2  # axes of a kernel, … h w C C′
STARTS = {  # of presets, at a small depth: the axis that fans out or in
    "resnet110_cifar10": (8, FEATURES),
    "preact1001_cifar10": (11, FEATURES),
    "wrn16_4_cifar10": (10, FEATURES),
    "resnet18_imagenet2012": (18, FEATURES),
    "stochastic110_cifar10": (8, INPUTS),
}


def start(name, depth):
    """The parameters of a preset's network, of another depth and width 16, at their start: by path."""
    network = building.network(Trial(**presets.PRESETS[name] | {"depth": depth, "width": 16}), classes=10)
    params, _ = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


@pytest.mark.parametrize("name", STARTS)
def test_a_preset_starts_as_the_code_of_its_paper(name):
    """Convolutions 2/(kernel² · features), or by inputs, the classifier uniform in ±1/√inputs, γ = 1, all else 0."""
    depth, axis = STARTS[name]
    for path, leaf in start(name, depth).items():
        if "kernel" not in path:
            assert (leaf == (1 if "scale" in path else 0)).all(), path
            continue
        if "head" in path:
            bound = leaf.shape[0] ** -0.5
            variance = bound**2 / 3
            assert np.abs(leaf).max() <= bound
        else:
            variance = 2 / (np.prod(leaf.shape[-4:-2]) * leaf.shape[axis])
        spread = (2 / leaf.size) ** 0.5  # relative, of the mean square of so many Gaussians; that of uniforms is less
        assert float((leaf**2).mean()) == pytest.approx(variance, rel=5 * spread), path


@pytest.mark.parametrize(("name", "shortcut"), (("stochastic110_cifar10", nn.AvgPool), ("resnet110_cifar10", nn.Pad)))
def test_what_joins_the_stages_is_that_of_the_papers_codes(name, shortcut):
    network = building.network(Trial(**presets.PRESETS[name]), classes=10)
    found = {type(block.shortcut) for block in network.blocks if isinstance(block, nn.Transition)}
    assert found == {shortcut}


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (
            ["--preset=resnet57_cifar10"],
            "unknown preset 'resnet57_cifar10', perhaps resnet[0-9]+_cifar10: --help=presets has all",
        ),
        (["--preset=resnet56_cifar10", "--dataset=svhn_cropped"], "is for cifar10 .colour 32×32 images., not for"),
        (["--preset=resnet56_cifar10", "--dataset=fashion_mnist"], "not for --dataset=fashion_mnist"),
    ),
)
def test_bad_presets_are_refused(arguments, says):
    with pytest.raises(UserError, match=says):
        parsed(*arguments)
