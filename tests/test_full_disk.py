"""A save that fails half-way is told once, and what was saved before is there."""

import subprocess
import sys

from commands import ROOT

FILLING = """
import pathlib, resource, sys
import jax
from resjax.system.errors import Failure
from resjax.training.checkpoint import Checkpoints

keys = jax.random.split(jax.random.key(0), 12)
tree = {str(at): jax.random.normal(key, (400, 500)) for at, key in enumerate(keys)}
checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), "cafe")
checkpoints.save(1, tree)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, -1))  # no file may be longer, as on a disk without room for it
try:
    checkpoints.save(2, tree)
except Failure as error:
    print(error)
step, restored, _ = checkpoints.restore(tree)
assert step == 1 and all((restored[at] == tree[at]).all() for at in tree)
"""


def test_a_save_that_fails_half_way_raises_and_its_threads_print_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", FILLING, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"cannot write checkpoint {tmp_path}/checkpoints/2: ")
