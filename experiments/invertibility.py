"""Which networks can be undone, and how evenly do they stretch what goes through them?

    python -m experiments.invertibility
    python -m experiments.invertibility --when=start --depths=10,34,100 --spectral_norm=0 --images=1 --seeds=5

Found, in ten minutes on 2 CPU cores (commands in docs/gallery.md): with ReLU branches over √L and width 256 κ of the
Jacobian is 34–41 at 10 layers and 24–28 at 100 (95 % t intervals); wide ReLU blocks have 36 and 27 by their law, linear
ones 24–29 and 20–22. Width makes κ worse at 10 layers (17 at width 16), and at 100 it certifies fewer blocks (Lipschitz
constant below 1), yet all are inverted to 10⁻¹¹. 10 unscaled residual layers have 10⁵–10⁶ at width 256, and no block is
inverted; 10³ at width 16, where 5 % are not. Of its spectrum a plain linear network keeps 44 % after 100 layers, with
ReLU 22. Transformers of 34 layers and width 32 start with 24 (15–36) with branches over √L, with 7·10⁴ (4·10³–10⁶)
without. Four streams of 34 trained dense layers (layer norm) have 8 (3–21) with gates, as one has (6–12), 16 (6–44)
with mHC that starts as the identity, 8·10³ (27–3·10⁶) with hyper-connections. Where it mixes evenly they are one: 10¹⁸.

Not shown: widths above 256; 1000 layers.
"""

import dataclasses
import itertools

from resjax import lab, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

RESULTS = {
    **columns("connection", "norm", "activation", "spectral_norm", branch_scale=number("times F(x) at the start")),
    **columns("width", "depth", "seed", stage=text("start, or trained: when the network is read")),
    **columns("learning_rate", "at_edge", "train_accuracy", "lipschitz_lower", "lipschitz_upper", "invertible_share"),
    **columns("sigma_min", "sigma_max", "rank_share", "condition"),
    "condition_gaussian": number("as the width grows, of many blocks that are independent; where that is known"),
    "condition_relu": number("likewise, of ReLU blocks, whose units mostly stay on or off; simulated"),
    **columns("inverse_error", "inverse_bound", "iterations", "newton_share", "not_inverted_share", "logdet"),
    **columns("logdet_lower", "logdet_upper"),
}
PANELS = {  # label, limits
    "condition": ("condition number $\\kappa$", (1, 1e3)),
    "invertible_share": ("blocks with constant < 1", (0, 1)),
    "inverse_error": ("error of the inverse", (1e-16, 1e2)),
}
KEY = "connection", "norm", "activation", "spectral_norm", "width", "depth", "seed"
LAWS = {"condition_gaussian": "wide, independent blocks", "condition_relu": "wide, ReLU, simulated"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    width: tuple[int, ...] = option((16, 64, 256), "units or filters of the stem", minimum=1)
    depths: tuple[int, ...] = option((34,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual", "scaled(power=0.5)"), "as in depth_scaling")
    norms: tuple[str, ...] = option(("none",), "normalisations, as in depth_scaling")
    activation: tuple[str, ...] = option(("relu",), "names of jax.nn; identity takes lecun_normal for he_normal")
    spectral_norm: tuple[float, ...] = option((0.0, 0.9), "bounds below 1, as in depth_scaling; 0: none", minimum=0)
    when: tuple[str, ...] = option(("start", "trained"), "they are measured", choices=("start", "trained"))
    images: int = option(4, "training images at which Jacobians and inverses are taken", minimum=1)
    steps: int = option(100, "training steps", minimum=1)
    seeds: int = option(3, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks to measure."""
    varied = config.connections, config.norms, config.activation, config.spectral_norm, config.width, config.depths
    chosen = [dict(zip(KEY, values, strict=True)) for values in itertools.product(*varied, range(config.seeds))]
    weights = {activation: lab.wide_limit.keeping(config.initializer, activation) for activation in config.activation}
    return [Trial.of(config, **values, initializer=weights[values["activation"]]) for values in chosen]


def refuse(trial: Trial, config: Config):
    """Raises UserError: what `inverses.planned` refuses, or too many images."""
    if config.images > (count := len(lab.inverses.planned(trial).dataset.train)):
        raise UserError(f"--images={config.images}: {trial.dataset} has {count} training images")


def rows(bench, trial: Trial, config: Config):
    """Measures it at its start, and trained at the best rate."""
    for stage in config.when:
        row = {"diverged": None, "learning_rate": None, "stage": stage}
        if stage == "trained":
            trial, at_edge, tried = lab.tuning.tuned(bench, trial, config)
            row |= bench.train(trial) | {"learning_rate": trial.learning_rate, "at_edge": at_edge}
            yield from (("rates", own) for own in tried)
        if row["diverged"] is None:
            yield "results", row | bench.once(measure, trial, when=stage, stage=stage, images=config.images)


def measure(trial: Trial, snapshot, stage: str, images: int) -> dict[str, float]:
    """The columns that one network decides, at the first training images, in float64."""
    import jax

    batch, _ = next(snapshot.data.train.all(max(images, trial.batch_size)))
    state = snapshot.state
    network, batch = probes.blocks.embedded(snapshot.network, snapshot.params, state, batch)
    with jax.enable_x64(True):
        x = batch.astype("float64")
        if stage == "start":  # the running statistics, of norms that have some, are those of these images
            state = lab.start.settled(trial, network, snapshot.params, state, x)
        row, square = probes.undoing.undoing(network, snapshot.params, state, x[:images], jax.random.key(trial.seed))
    laws = lab.wide_limit.conditions(trial, network, square) if stage == "start" else {}
    return row | {"branch_scale": lab.wide_limit.branch_scale(network)} | laws


def summary(tables):
    """A row a kind of network and stage, told apart by what differs."""
    results = tables["results"].replace(float("inf"), float("nan"))
    differing = [name for name in ("stage", *KEY[:-1]) if results[name].nunique() > 1] or ["stage"]
    kinds = results.groupby(differing, sort=False)
    shown = lab.statistics.summarised(kinds, ["condition", "invertible_share", "rank_share", "not_inverted_share"])
    return shown, "can it be undone? means ± 95 % t intervals over the seeds"


def draw(tables, canvas):
    """κ, share of invertible blocks, error of the inverse against width: a row a stage, a line a kind and depth."""
    results = tables["results"]
    stages = list(results["stage"].unique())
    style = lab.figures.styles(sorted(results["depth"]))
    shape = len(PANELS), len(stages), 1.1 + 2 * len(stages)
    with canvas.figure("figure", *shape, "bands: 95 % t intervals of means", sharex=True) as axes:
        for axis, (stage, quantity) in zip(axes, itertools.product(stages, PANELS), strict=True):
            label, limits = PANELS[quantity]
            scale = "linear" if quantity == "invertible_share" else "log"
            axis.set(yscale=scale, ylabel=label, title=stage, xlabel="width" if stage == stages[-1] else "")
            lab.figures.log_ticks(axis, results["width"])
            for name, color, kind in canvas.families(results[results["stage"] == stage], *KEY[:4]):
                for depth, rows in kind.groupby("depth", sort=False):
                    by_width = rows.groupby("width")
                    look = {"color": color, "marker": "o", "label": name if style[depth] == "-" else ""}
                    lab.figures.leaving_means(
                        axis, by_width[quantity], limits, style[depth], log=scale == "log", **look
                    )
                    if quantity == "condition":
                        for mark, (law, what) in zip("x+", LAWS.items(), strict=True):
                            axis.plot(by_width[law].mean(), f"k{mark}", label=what if rows[law].notna().any() else "")
        for depth in style:
            axes[0].plot([], [], style[depth], color="k", label=f"{depth} layers")
        lab.legends.legend(axes, columns=3)


TABLES = {"results": RESULTS, "rates": columns("activation", "spectral_norm") | RATES}
STUDY = Study(
    Config, TABLES, trials, rows, draw, summary, refuse, colored=True,
    programs=lambda trial, config: [trial] if "trained" in config.when else [],
)  # fmt: skip

if __name__ == "__main__":
    STUDY.main()
