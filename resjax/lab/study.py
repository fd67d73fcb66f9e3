"""An experiment is a study: a question, the networks it trains, the rows it measures of each, figures from the tables.

All else stands here once: the loop over networks, which other processes may share, and what is left on disk.
"""

import contextlib
import dataclasses
import inspect
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resjax.lab import flags, sweep
from resjax.lab.config import Running
from resjax.lab.part import Part, Row
from resjax.lab.tables import Columns, option_column
from resjax.system.errors import UserError

if TYPE_CHECKING:  # what imports JAX, pandas or matplotlib is imported when it is used: `--help` is fast
    import pandas as pd
    from etils import epath

    from resjax.lab.bench import Bench
    from resjax.lab.canvas import Canvas


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment.

    Args:
      config: its options.
      tables: the columns of every table.
      trials: what it is made of, in the order of the rows: networks, or whatever `rows` takes.
      rows: trains and measures one of them, with a bench; may be called again where another process was at work.
      draw: draws the figures from the tables.
      summary: the table that the terminal shows, and its title.
      refuse: raises UserError for a trial that cannot be, before anything is done; else `plan.plan` does, for
        it or, of a tuple, for the last.
      colored: whether `draw` tells by colour what is swept; else every combination has figures of its own.
      timed: whether nothing may compile beside training, for steps are timed.
      programs: of a trial and the options, the networks that `rows` trains, in their order, to be compiled in time; by
        default the trial itself.
      images: whether it cannot be asked of networks of tokens.
      counts: an option that says how many training images are measured, which is at most all.
      tuned: whether `rows` gets each trial at its best learning rate; its tables have one of all `rates`.
      page: writes what else there is to see, of tables, folder and options, and returns the exit code.
    """

    config: type[Running]
    tables: Mapping[str, Columns]
    trials: Callable[[Any], Sequence[Any]]
    rows: Callable[["Bench", Any, Any], Iterator[Row]]
    draw: Callable[[dict[str, "pd.DataFrame"], "Canvas"], None]
    summary: Callable[[dict[str, "pd.DataFrame"]], tuple["pd.DataFrame", str]]
    refuse: Callable[[Any, Any], None] | None = None
    colored: bool = False
    timed: bool = False
    programs: Callable[[Any, Any], Sequence[Any]] | None = None
    images: bool = False
    counts: str = ""
    tuned: bool = False
    page: Callable[[dict[str, "pd.DataFrame"], "epath.Path", Any], int] | None = None

    @property
    def module(self) -> Any:
        """The module it stands in."""
        return inspect.getmodule(self.rows)

    @property
    def name(self) -> str:
        """The name of its file."""
        return pathlib.Path(self.module.__file__).stem

    @property
    def command(self) -> list[str]:
        """What Python is given to run it."""
        spec = self.module.__spec__
        return ["-m", spec.name] if spec else [self.module.__file__]

    def main(self) -> None:
        """Runs it with the flags of this command (see `flags.main`)."""
        flags.main(self.config, self.run, self.module)

    def check(self, arguments: Sequence[str]) -> None:
        """Does nothing but to raise UserError if these flags ask for something that cannot be."""
        self.plan(flags.parse(self.config, [self.name, *arguments]))

    def plan(self, config: Running) -> list[Part]:
        """What is to be done, checked before anything is.

        Raises:
          UserError: something that cannot be.
        """
        from resjax.lab import plan, registry
        from resjax.system import platform

        platform.check()
        for _, each in sweep.combinations(config) if self.images else ():
            network = getattr(each, "network", "dense")
            if getattr(registry.family(network), "of_tokens", False):
                raise UserError(f"--network={network}: {self.name} cannot be asked of tokens; give a network of images")
        parts = [
            Part(values, each, trial) for values, each in sweep.combinations(config) for trial in self.trials(each)
        ]
        for part in parts:
            trial = part.trial[-1] if isinstance(part.trial, tuple) else part.trial
            if self.refuse:
                self.refuse(part.trial, part.config)
            else:
                plan.plan(trial)
            if self.counts:
                plan.enough(trial, self.counts, getattr(part.config, self.counts))
        return parts

    def run(self, config: Running) -> None:
        """Does what is not done yet, then writes the tables and draws the figures; `json` has stdout for itself."""
        quiet = contextlib.redirect_stdout(sys.stderr) if getattr(config, "json", False) else contextlib.nullcontext()
        with quiet:
            done = self._run(config)
        code = self.page(*done, config) if self.page and done else 0
        if code:
            sys.exit(code)

    def _run(self, config: Running) -> tuple[dict[str, "pd.DataFrame"], "epath.Path"] | None:
        """The tables and where they are; None of a shard, which has none."""
        from resjax.lab import blocks, canvas, running, store, view, watched, workdir

        parts = [] if config.plot_only else self.plan(config)
        networks = store.store_of(config)
        compiled = store.compiled_of(config)
        swept = {name: option_column(field) for name, field in sweep.fields(config).items()}
        asked = dict(self.tables) | watched.tables(config)
        counts = blocks.column(config)
        tables = {name: swept | (counts if "depth" in own else {}) | dict(own) for name, own in asked.items()}
        work = workdir.work_directory(self.name, config, tables)
        work.open()
        rows: list[Row] = []
        if not config.plot_only:
            rows = running.run(self, parts, config, networks, compiled)
        if config.shard:
            return None
        with work.alone():
            if not config.plot_only:
                counted = blocks.counted if counts else dict
                work.write({table: [counted(row) for name, row in rows if name == table] for table in tables})
            found = work.read()
            kinds = (*canvas.PRINTED, "svg") if self.page else canvas.PRINTED
            for own, drawn in canvas.canvases(found, work.path, config, list(swept), self.colored, kinds):
                self.draw(own, drawn)
        for chosen, own in sweep.parted(found, list(swept)):
            shown, title = self.summary(own)
            view.show(shown, "; ".join([title, *(f"{name} {value}" for name, value in chosen.items())]))
        print(f"{'tables' if len(tables) > 1 else 'table'}: {work.path}/{', '.join(f'{name}.csv' for name in tables)}")
        print(f"figure: {work.path}/figure.png")
        return found, work.path
