"""Can a deep plain network be as good as a shallow one, and how well does it learn to do nothing?

    python -m experiments.identity
    python -m experiments.identity --shallow=20 --deep=110 --seeds=3

`results`: a trained plain network is deepened by layers that are the identity, and has the same loss: so a
deep network that is as good exists. The same deep network trained from scratch is worse. Residual
networks beside them. `maps`: networks of growing depth, without stem and head, are trained to give their
Gaussian input back; the error is relative to the input's square, 1 being that of the answer zero.

Two minutes on 2 CPU cores. Plain networks do not learn the identity at any depth (2 layers: error 0.7). Residual ones
with He's weights do at 2 layers (0.003, with batch norm 0.04) and no longer at 18: the skip is there, but 400 steps do
not remove what random branches add. ReZero starts there.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

RESULTS = {
    "network": "str",
    "depth": "int64",
    "seed": "int64",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "test_accuracy": "float64",
}
MAPS = {
    "connection": "str",
    "norm": "str",
    "depth": "int64",  # weighted layers, all of them in blocks
    "seed": "int64",
    "first_error": "float64",  # ‖f(x) − x‖² / ‖x‖² before training
    "last_error": "float64",  # and after it
}
FLOOR = 1e-8  # of the figure's errors


@dataclasses.dataclass(frozen=True)
class Learning:
    """How the identity is learned."""

    map_steps: int = option(400, "steps of Adam, with batches of --batch_size, for the identity", minimum=1)
    map_rate: float = option(0.001, "their learning rate", minimum=0)


@dataclasses.dataclass(frozen=True)
class Config(Running, Learning, Training):
    """The options of this experiment."""

    shallow: int = option(20, "weighted layers of the network that is deepened", minimum=4)
    deep: int = option(56, "weighted layers that it is deepened to", minimum=4)
    order: str = option("post", "norm and activation of the deepened network", choices=("post",))
    depths: tuple[int, ...] = option(
        (2, 8, 18, 54), "layers, in blocks, of networks that learn the identity", minimum=1
    )
    connections: tuple[str, ...] = option(("plain", "residual", "rezero"), "connections of these networks")
    norms: tuple[str, ...] = option(("none", "batch"), "normalisations of these networks")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class Deepened(Point):
    """A trained network, deepened by identity layers."""

    deep: int = option(56, "weighted layers that it is deepened to")


@dataclasses.dataclass(frozen=True)
class Map(Point, Learning):
    """A network that learns the identity, without stem and head: `depth` counts them."""


def run(config: Config):
    """Trains and deepens what is not done yet, then writes the tables and the figure."""
    seeds = range(config.seeds)
    trained = [
        Point.of(config, depth=depth, connection=connection, norm="batch", seed=seed)
        for connection, depth, seed in itertools.product(("plain", "residual"), (config.shallow, config.deep), seeds)
    ]
    deepened = [
        Deepened.of(config, depth=config.shallow, connection="plain", norm="batch", seed=seed) for seed in seeds
    ]
    maps = [
        Map.of(config, connection=connection, norm=norm, depth=depth + 2, seed=seed, order="pre")
        for connection, norm, depth, seed in itertools.product(config.connections, config.norms, config.depths, seeds)
    ]
    if (config.network, config.block, config.activation) != ("dense", "", "relu"):
        raise UserError("--network, --block, --activation: only dense ReLU layers can be the identity here")
    if config.deep <= config.shallow:
        raise UserError(f"--deep={config.deep}: must be more than --shallow={config.shallow}")
    for point in itertools.chain(trained, maps):
        resjax.lab.plan.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("identity", config, {"results": RESULTS, "maps": MAPS})
    if not config.plot_only:
        from experiments import identity_networks

        rows = []
        with resjax.lab.session.session(work, total=len(trained) + len(deepened) + len(maps)) as session:
            for point in trained:
                row = {"network": f"{point.connection}, trained", "depth": point.depth, "seed": point.seed}
                rows.append(row | session.train(point, share=1.0))
            for point in deepened:
                shallow = trained[point.seed]  # the plain and shallow ones come first
                if rows[point.seed]["diverged"] is not None:
                    continue
                found = session.measure(
                    point, lambda point, from_=shallow: identity_networks.deepened(point, from_, work.folder(from_))
                )
                rows.append({"network": "plain, deepened", "depth": config.deep, "seed": point.seed} | found)
            errors = [
                dataclasses.asdict(point) | {"depth": point.depth - 2} | session.measure(point, identity_networks.learn)
                for point in maps
            ]
        work.write_table("results", rows)
        work.write_table("maps", errors)
    results = work.read_table("results")
    maps = work.read_table("maps")
    plot(results, maps, work.path / "figure")
    shown = results.drop(columns="seed").groupby(["network", "depth"], sort=False).mean().reset_index()
    resjax.lab.session.show(shown, title="identity layers")
    print(f"tables: {work.path / 'results.csv'}, maps.csv\nfigure: {work.path / 'figure.png'}")


def plot(results, maps, path: pathlib.Path):
    """Left: training loss, trained and deepened. Right: error of the learned identity against depth."""
    with resjax.lab.figures.figure(path, panels=2, height=2.7) as (left, right):
        bars = results.groupby(["network", "depth"], sort=False)["train_loss"].mean().sort_index(level="network")
        left.barh(range(len(bars)), bars.to_numpy(), 0.6, color=resjax.lab.figures.COLORS[0], alpha=0.6)
        left.set_yticks(range(len(bars)), [f"{network}: {depth} layers" for network, depth in bars.index])
        left.set(xlabel="training loss")
        left.invert_yaxis()
        color = dict(zip(maps["connection"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
        style = dict(zip(maps["norm"].unique(), itertools.cycle(("-", "--", ":")), strict=False))
        for (connection, norm), rows in maps.groupby(["connection", "norm"], sort=False):
            error = np.exp(np.log(rows["last_error"].clip(lower=FLOOR)).groupby(rows["depth"]).mean())
            right.plot(error, style[norm], marker="o", color=color[connection], label=f"{connection}, {norm}")
        right.axhline(1, color="k", linewidth=0.5)
        right.set(xscale="log", yscale="log", xlabel="layers, in blocks", ylabel="error of the learned identity")
        depths = sorted(set(maps["depth"]))
        right.set_xticks(depths, labels=map(str, depths))
        right.minorticks_off()
        right.legend()


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
