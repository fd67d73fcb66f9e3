"""Reads a stream with a worker process, and ends itself at once, as a crash does: with a data folder, and how."""

import os
import signal
import sys

import jax
from absl import flags

from resjax import data

if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()  # Grain looks at absl's
    train = data.load("tiny_set", sys.argv[1], image_size=8, workers=1).train
    batches = train.batches(4, (), jax.random.key(0))
    batches.at(0)
    print("read", flush=True)
    os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "killed" else os._exit(7)
