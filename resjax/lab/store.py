"""One store of trained networks, each found again by what decides its results.

store/
  compiled/                 compiled programs, for the next start
  NAME-ADDRESS/             a network (see `trial.address`)
    config.json             its options
    metrics.jsonl           its learning curve, a line every so many steps
    checkpoints/STEP/       the newest two
    done.json               its result, once it is trained
    measured/NAME-HASH.json what was measured of it
    SHA256SUMS   lock       the checksums of all these, and who is at work

python -m resjax.lab.store list                    # a row a network: what differs, result, age, size
python -m resjax.lab.store show NAME               # everything on the networks whose folder's name has this in it
python -m resjax.lab.store compare NAME NAME       # two networks, side by side
python -m resjax.lab.store prune --execute         # removes what never finished, and what nothing finds any more
"""

import dataclasses
import json
import re
from typing import Any

from etils import epath

from resjax.lab.config import Running
from resjax.lab.trial import Trial, Variant, address
from resjax.system import checksums
from resjax.system.errors import Failure
from resjax.system.files import place

FOLDER = "store"
READABLE = 100  # characters of a folder's name, which may have 255


@dataclasses.dataclass(frozen=True)
class Store:
    """The folder of all networks."""

    path: epath.Path

    def folder(self, trial: Variant) -> epath.Path:
        """The folder of one network."""
        name = f"{trial.network}-{trial.connection}-{trial.norm}-{trial.depth}-{trial.seed}"
        readable = re.sub(r"[^\w.=-]+", "_", name, flags=re.ASCII)[:READABLE]
        return self.path / f"{readable}-{address(trial)}"

    def result(self, trial: Trial) -> dict[str, Any] | None:
        """The result and the timing of a network (see `train.train`), or None if it is not trained yet.

        Raises:
          Failure: the record does not match its checksum.
        """
        folder = self.folder(trial)
        return checksums.read_json(folder, "done.json") if (folder / "done.json").exists() else None

    def curve(self, trial: Trial, of: str = "loss") -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl` that have this, of a network; none if it is not trained.

        With the loss stand accuracy and learning_rate; see `watching` for what else may be there.

        Raises:
          Failure: the file does not match its checksum, or is not there.
        """
        folder = self.folder(trial)
        if not self.result(trial):
            return []
        try:
            text = checksums.read(folder, "metrics.jsonl").decode()
        except FileNotFoundError:
            raise Failure(f"{folder}/metrics.jsonl is gone: remove {folder} to train that network again") from None
        return [line for line in map(json.loads, text.splitlines()) if of in line]


def store_of(config: Running) -> Store:
    """The store that a configuration asks for."""
    default = place(config.workdir) / FOLDER if config.workdir else epath.Path("runs") / FOLDER
    return Store(place(config.store) if config.store else default)


def compiled_of(config: Running) -> epath.Path:
    """Where a configuration keeps compiled programs."""
    return place(config.compile_cache) if config.compile_cache else store_of(config).path / "compiled"


if __name__ == "__main__":
    from resjax.lab import store_commands

    store_commands.main()
