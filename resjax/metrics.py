"""The course of a training run: `metrics.jsonl`, and TensorBoard if asked."""

import json
import pathlib

from resjax import record
from resjax.errors import UserError


class Metrics:
    """`metrics.jsonl`, a line every so many steps, and TensorBoard if asked."""

    def __init__(self, folder: pathlib.Path, start: int, tensorboard: bool):
        """Opens the file to go on after step `start`; later lines, of steps done again, are dropped."""
        path = folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        record.write(path, "".join(f"{line}\n" for line in lines if _step_of(line) <= start))
        self._file = open(path, "a")  # noqa: SIM115 (closed by __exit__)
        self._board = None
        if tensorboard:
            self._board = summary_writer()(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, **values):
        """One line: the step and these numbers."""
        values = {name: float(value) for name, value in values.items()}
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()
        if self._board:
            self._board.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return float("inf")  # torn by a kill; the step is done again


def summary_writer() -> type:
    """TensorBoard's writer.

    Raises:
      UserError: the extra that has it is not installed.
    """
    try:
        from tensorboardX import SummaryWriter  # an extra
    except ImportError:
        raise UserError("--tensorboard needs the extra [tensorboard]: pip install -e '.[tensorboard]'") from None
    return SummaryWriter
