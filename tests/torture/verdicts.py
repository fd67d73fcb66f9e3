"""What came of what was done to a run: lost, silent, named, or nothing at all."""

import dataclasses
import pathlib
import subprocess
from typing import NamedTuple

from resjax.system import checksums

SAME = ("results.csv", "curves.csv", "figure.png", "store/*/metrics.jsonl")  # equal to the last bit, run for run


@dataclasses.dataclass(frozen=True)
class Tried:
    """What was done to a run, and what came of it."""

    what: str
    where: str  # what the run was doing, or the kind of file
    lost: str = ""  # how it did not end as it should
    silent: str = ""  # the table that is another one though nobody said so
    named: bool = False  # whether a line said what is damaged
    seconds: float = float("nan")  # from a signal to the end

    @property
    def wrong(self) -> str:
        """What went wrong; empty if nothing did."""
        return self.lost or self.silent

    @classmethod
    def names(cls) -> list[str]:
        """Those of the fields."""
        return [field.name for field in dataclasses.fields(cls)]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def faults(ended: Ended, workdir: pathlib.Path, reference: pathlib.Path) -> dict[str, str]:
    """What is lost and what is silent of a run that should have ended well, like the undisturbed one."""
    if ended.code or ended.err:
        return {"lost": f"{workdir}: exit code {ended.code}: {ended.err}"}
    return {"lost": unsound(workdir), "silent": differs(workdir, reference)}


def differs(workdir: pathlib.Path, reference: pathlib.Path, patterns: tuple[str, ...] = SAME) -> str:
    """The first of the files that must be equal to the last bit and is not; empty if all are."""
    for pattern in patterns:
        for path in sorted(reference.glob(pattern)):
            own = workdir / path.relative_to(reference)
            if not own.exists() or own.read_bytes() != path.read_bytes():
                return str(own)
    return ""


def unsound(workdir: pathlib.Path) -> str:
    """What `sha256sum` says of the first folder whose SHA256SUMS does not match; empty if all do."""
    check = ["sha256sum", "--check", "--quiet", "--strict", checksums.NAME]
    for path in sorted(workdir.rglob(checksums.NAME)):
        done = subprocess.run(check, cwd=path.parent, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{path.parent}: {done.stdout}{done.stderr}"
    return ""
