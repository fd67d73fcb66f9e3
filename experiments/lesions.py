"""What happens to a trained network whose blocks are deleted, or put into another order?

    python -m experiments.lesions
    python -m experiments.lesions --network=resnet --depths=20,32 --norms=batch,layer --connections=residual

Trains every network, plain ones without stochastic depth alone, for no skip leads past a dropped block. Then, as Veit
et al. 2016 (arXiv 1605.06431): deletes each block in turn, deletes blocks at random, swaps random pairs of blocks of a
stage, and measures the held-out error. Of a block that changes the shape only the branch is left out (`branch`).

Found, in two minutes on 2 CPU cores, five seeds and rates of .001 to .1, 95 % t intervals: 27 residual blocks hardly
miss any but the first two. The error is 2.5 ± 1.3 % before, 2.9 ± 1.4 % without one, 7.6 ± 1.9 % without the first, and
5.1 ± 2.0 % without the second. It is 18 ± 7 % with 12 deleted, 48 ± 10 % with 20, and 17 ± 6 % with the order lost.
With stochastic depth these are 16 ± 9, 40 ± 21 and 10 ± 4 %, not told apart; 16 swaps leave it 4.2 ± 3.8 points better.

A transformer on a text (`lesions_text`, 24 sublayers, three seeds) misses its first MLP most, by 0.6 to 1.1 nats.
Behind that block an attention is missed by 0.041 ± 0.014 and an MLP by 0.014 ± 0.010. Stochastic depth makes that 0.013
± 0.008 and 0.002 ± 0.003; but its loss is higher before, by 0.12 ± 0.06.

Not shown: deep plain networks that train, as 56 layers do not; differences under 1 %, which 297 images do not resolve.
"""

import dataclasses

from resjax import lab, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

FAMILY = ("connection", "norm", "depth", "survival")
RESULTS = columns(
    *FAMILY, "seed", "learning_rate", "at_edge",
    kind=text("none, delete, branch, delete_random, swap or permutation"),
    count=whole("of blocks deleted, or of pairs swapped"), draw=whole("of the random ones, from 0"),
    block=whole("the one deleted, or left without its branch, from 0; empty elsewhere", optional=True),
    kendall_tau=number("rank correlation of the order of the blocks with that of training"),
    loss=number("cross-entropy over all held-out images, in nats"), accuracy=number("share of all held-out images"),
)  # fmt: skip
UNSET = (-1,)  # of `blocks`: all that can be deleted; of `permutation`: no order beside those drawn


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((56,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("residual", "plain"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    survival: tuple[str, ...] = option(
        ("none", "linear(last=0.5)"), "stochastic depth of all but plain networks, as in stochastic_depth"
    )
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    blocks: tuple[int, ...] = option((-1,), "blocks to delete in turn; -1: all that can be deleted", minimum=-1)
    deletions: tuple[int, ...] = option((1, 2, 4, 8, 12, 16, 20), "numbers of blocks to delete at random", minimum=1)
    swapped: tuple[int, ...] = option((1, 2, 4, 8, 16, 32), "numbers of pairs of blocks to swap", minimum=1)
    draws: int = option(20, "random lesions of each number", minimum=1)
    permutation: tuple[int, ...] = option((-1,), "one order of all blocks to try, from 0; -1: none", minimum=-1)

    @property
    def lesions(self) -> dict[str, object]:
        """What is done to each network: the fields of `lesion_study.Lesions`."""
        names = "blocks", "deletions", "swapped", "draws", "permutation"
        return {name: None if getattr(self, name) == UNSET else getattr(self, name) for name in names}


def trials(config: Config) -> list[Trial]:
    """The networks to lesion."""
    return [
        Trial.of(config, connection=connection, norm=norm, depth=depth, survival=survival, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for survival in (config.survival if connection != "plain" else ("none",))
        for seed in range(config.seeds)
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or cannot be lesioned so."""
    network = lab.plan.plan(trial).network
    try:
        probes.lesion_study.check(network, probes.lesion_study.Lesions(**config.lesions))
    except ValueError as error:
        raise UserError(f"--{error}") from error


def rows(bench, trial: Trial, config: Config):
    """Trains it; a row a lesion, unless it diverged."""
    diverged = bench.train(trial)["diverged"]
    if diverged is not None:
        bench.say(f"{bench.label(trial)}: diverged at step {diverged} and is left out")
        return
    for row in bench.once(measure, trial, when="trained", **config.lesions)["rows"]:
        yield "results", row


def measure(trial: Trial, snapshot, **lesions) -> dict[str, list[dict]]:
    """Loss and accuracy of every lesion, on the held-out images."""
    import jax

    data = snapshot.data.test, jax.random.key(trial.seed), probes.lesion_study.Lesions(**lesions)
    return {"rows": probes.lesion_study.measure(snapshot.network, snapshot.params, snapshot.state, *data)}


def summary(tables):
    """Networks down, the largest lesion of each kind across."""
    results = tables["results"].assign(error=lambda table: 100 * (1 - table["accuracy"]))
    largest = results[results["count"] == results.groupby("kind")["count"].transform("max")]
    named = largest.assign(lesion=largest["kind"] + " " + largest["count"].astype(str))
    seeds = named.groupby([*FAMILY, "lesion", "seed"], sort=False)["error"].mean().reset_index()
    shown = seeds.pivot_table("error", list(FAMILY), "lesion", lab.statistics.plus_minus, sort=False)
    return shown.reset_index(), "held-out error (%): mean over blocks and draws, ± 95 % t interval over the seeds"


def draw(tables, canvas):
    """Error against the deleted block, the number of deleted blocks, and the rank correlation of the order."""
    results = tables["results"].assign(error=lambda table: 100 * (1 - table["accuracy"]))
    varied = [name for name in FAMILY if name == "connection" or results[name].nunique() > 1]
    note = f"colours: {', '.join(varied)}; left: means over seeds; else medians and quartiles; dots: a draw"
    with canvas.figure(panels=3, height=2.6, sharey=True, note=note) as (single, several, moved):
        for label, color, rows in canvas.families(results, *varied):
            kinds = rows["kind"]
            single.axhline(rows["error"][kinds == "none"].mean(), color=color, linewidth=0.6, linestyle=":")
            for kind, style in (("delete", "o-"), ("branch", "D")):
                single.plot(rows[kinds == kind].groupby("block")["error"].mean(), style, color=color, markersize=2.5)
            deleted = rows[kinds.isin(["none", "delete_random"])].groupby("count")["error"]
            quartiles = deleted.quantile([0.25, 0.75]).unstack()
            several.fill_between(quartiles.index, *quartiles.to_numpy().T, color=color, alpha=0.2, linewidth=0)
            several.plot(deleted.median(), "o-", color=color, label=label)
            swapped = rows[kinds.isin(["none", "swap"])]
            moved.plot(swapped["kendall_tau"], swapped["error"], ".", color=color, alpha=0.2)
            medians = swapped.groupby("count")[["kendall_tau", "error"]].median().sort_values("kendall_tau")
            moved.plot(medians["kendall_tau"], medians["error"], "o-", color=color)
        if (results["kind"] == "branch").any():
            single.plot([], [], "kD", label="its branch alone left out")
        single.set(xlabel="deleted block", ylabel="held-out error (%)", ylim=(-3, 103))
        several.set(xlabel="deleted blocks, at random")
        moved.set(xlabel="Kendall's τ of the order")
        moved.invert_xaxis()
        lab.legends.legend((several, single), columns=3)


TABLES = {"results": RESULTS, "rates": columns("survival") | RATES}
STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse, colored=True, tuned=True)

if __name__ == "__main__":
    STUDY.main()
