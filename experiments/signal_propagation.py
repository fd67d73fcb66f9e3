"""What becomes of activations and gradients on their way through a deep network, before any training?

    python -m experiments.signal_propagation
    python -m experiments.signal_propagation --networks=0 --network=preact --inputs=16,16,3 --depths=110 --norms=batch
    python -m experiments.signal_propagation --networks=0 --block=mine:Swish --connections=residual --norms=none
    python -m experiments.signal_propagation --networks=0 --network='transformer(heads=4)' --inputs=32 --pairs=2 \\
        --width=128 --depths=1002 --initializer=xavier_normal --connections=residual --norms=layer \\
        --sweep='order=pre,post,deepnorm,lns,peri'

At every block: the mean squares of stream, branch and gradient, the cosine between two inputs and between their
gradients, the direct path's share of the gradient and the share of dead units. The figure shows the deepest networks
of the first initialiser, with the theory (dashed) for dense ReLU networks with He's. A second table and figure,
`wandering`, are of many plain networks without a norm: how their squares part.

Found, in two minutes on 2 CPU cores: where squares grow, their logarithm is the theory's to within 10 %. Inputs at
cosine ½ end at cosine 1 in plain networks with no norm or layer norm, at 0.33 with batch norm. Without a norm a plain
network's square vanishes though its mean over networks is constant: the median of ln over 100 networks of 202 layers is
−15.6 at width 32 and −2.2 at 256 (Hanin & Nica 2018, arXiv 1812.05994: −16.3, −1.9), of gradients −16.3 and −1.2.

In transformers of 1002 layers (the last command, one minute, one seed) the theory of uniform attention holds to within
27 % of the stream's squares and 0.13 of the cosine of tokens; gradients are within a factor of two, but those of
post-norm. It makes all tokens one: their cosine is 0.97 after 50 layers. With pre-norm it ends at 0.96, with the norm
over √l at 0.63, with deepnorm at 0.001.

Not shown: trained networks; the mean over networks, which a hundred narrow ones do not resolve.
"""

import dataclasses
import itertools

from resjax import lab
from resjax.lab.config import Probing, Running
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, records, whole
from resjax.lab.trial import Start
from resjax.system.errors import UserError

PROBED = {
    "activation_mean_square": number("of the stream before the block"),
    "branch_mean_square": number("of what the branch adds"),
    "input_cosine": number("between the streams of two inputs, mean over pairs"),
    "token_cosine": number("between two tokens or pixels of an input, mean over their pairs; empty if it has one"),
    "gradient_mean_square": number("of the gradient towards the stream before the block"),
    "direct_share": number("of that gradient, what comes through the skips alone"),
    "gradient_cosine": number("between the gradients of two inputs, mean over pairs"),
    "dead_fraction": number("share of units that no input of the batch activates"),
    "attention_entropy": number("of a token's attention, in nats, mean over tokens and heads; empty without"),
}
KEY = columns("connection", "norm", "initializer", "depth", layer=whole("weighted layers before the block"))
WANDERING = columns(
    *("width", "depth"),
    layer=KEY["layer"],
    level=number("of the quantile over the networks"),
    activation=number("quantile of ln of the stream's mean square, less that before the first block"),
    gradient=number("quantile of ln of the gradient's mean square, less that before the last block"),
)
TABLES = {"results": KEY | columns("seed", **PROBED), "wandering": WANDERING}


@dataclasses.dataclass(frozen=True)
class Config(Running, Probing):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((1000,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual", "scaled(power=0.5)", "rezero"), "as in depth_scaling")
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    initializer: tuple[str, ...] = option(("he_normal",), "initialisers, as in depth_scaling")
    width: int = option(256, "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    networks: int = option(100, "plain networks of each of --widths that are read together; 0: none", minimum=0)
    widths: tuple[int, ...] = option((32, 64, 128, 256), "their units or filters of the stem", minimum=1)
    wandering_depth: int = option(202, "their weighted layers", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        if self.networks and len(self.inputs) == 1:
            raise UserError(f"--networks={self.networks}: the many networks take no tokens; give --networks=0")


@dataclasses.dataclass(frozen=True)
class Many(Start):
    """Networks that differ by their seed alone."""

    networks: int = option(100, "how many", minimum=1)


def trials(config: Config) -> list[Start]:
    """The networks to read."""
    shared = {"connection": "plain", "norm": "none", "initializer": config.initializer[0], "looped": False}
    widths = config.widths if config.networks else ()
    many = [Many.of(config, depth=config.wandering_depth, width=width, **shared) for width in widths]
    names = "connection", "norm", "initializer", "depth", "seed"
    varied = config.connections, config.norms, config.initializer, config.depths, range(config.seeds)
    one = [Start.of(config, **dict(zip(names, values, strict=True))) for values in itertools.product(*varied)]
    return many + one


def rows(bench, trial: Start, config: Config):
    """A row a block; of many networks, one for every quantile at some blocks."""
    if isinstance(trial, Many):
        found = bench.once(lab.wandering.read, trial, networks=trial.networks)
        yield from (("wandering", row) for row in records(found))
        return
    found = bench.once(lab.start.read, trial, names=list(PROBED))
    length = len(found["activation_mean_square"])
    a_block = (trial.depth - 2) / length
    for place in range(length):
        values = {name: found[name][place] for name in PROBED}
        yield "results", values | {"layer": 1 + round(place * a_block)}


def summary(tables):
    """How much activations grow on their way and gradients on theirs, and where the cosines end."""
    results = tables["results"]
    deepest = results[results["depth"] == results["depth"].max()]
    names = ["connection", "norm", "initializer"]
    families = deepest.groupby([*names, "layer"], sort=False).mean(numeric_only=True).groupby(names, sort=False)
    first = families.first()
    last = families.last()
    shown = last[["input_cosine", "dead_fraction"]]
    shown.insert(0, "activations", last["activation_mean_square"] / first["activation_mean_square"])
    shown.insert(1, "gradients", first["gradient_mean_square"] / last["gradient_mean_square"])
    return shown.reset_index(), "the deepest networks: last block against first"


def draw(tables, canvas):
    """Signals by layer, and `wandering`."""
    if len(tables["wandering"]):
        lab.wandering.draw(tables["wandering"], canvas)
    if len(tables["results"]):
        lab.signals.draw(tables["results"], canvas)


STUDY = Study(
    Config, TABLES, trials, rows, draw, summary, refuse=lambda trial, config: lab.start.plan(trial), colored=True
)

if __name__ == "__main__":
    STUDY.main()
