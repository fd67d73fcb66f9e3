"""What every benchmark does with what it measures: writes it as it grows, shows it, and says where it lies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resjax import lab
from resjax.lab.config import Writing
from resjax.lab.tables import Columns

if TYPE_CHECKING:
    import pandas as pd

    from resjax.lab.workdir import WorkDirectory

RESULTS = "results"


def table(
    name: str,
    config: Writing,
    columns: Columns,
    rows: Callable[[], Iterable[dict[str, Any]]],
    shown: Sequence[str] = (),
) -> "pd.DataFrame":
    """The one table of a benchmark, of which these columns are shown, by default all; else as `tables`."""
    return tables(name, config, {RESULTS: columns}, lambda: ((RESULTS, row) for row in rows()), shown)[RESULTS]


def tables(
    name: str,
    config: Writing,
    columns: Mapping[str, Columns],
    rows: Callable[[], Iterable[tuple[str, dict[str, Any]]]],
    shown: Sequence[str] = (),
) -> dict[str, "pd.DataFrame"]:
    """The tables of a benchmark, by name: what is measured now, or with `plot_only` what lies there.

    Args:
      rows: plans the measurements, and returns them: (table, row) each, measured when it is asked for.

    Raises:
      UserError: there is no device, the plan is refused, or the folder: nothing has been written then.
    """
    measured: Iterable[tuple[str, dict[str, Any]]] = ()
    if not config.plot_only:
        from resjax.system import platform  # loads JAX

        platform.check()
        measured = rows()
    work = lab.workdir.work_directory(name, config, columns)
    work.open()
    if not config.plot_only:
        found: dict[str, list[dict[str, Any]]] = {each: [] for each in columns}
        _write(work, found)  # no older table lies under these options
        for each, row in measured:
            found[each].append(row)
            _write(work, found)
    with work.alone():
        read = work.read()
    for each, own in read.items():
        lab.view.show(own[list(shown) or list(own)], name if each == RESULTS else each)
    print(f"{'tables' if len(read) > 1 else 'table'}: {work.path}/{', '.join(f'{each}.csv' for each in read)}")
    return read


def _write(work: "WorkDirectory", rows: Mapping[str, list[dict[str, Any]]]) -> None:
    with work.alone():
        work.write(rows)
