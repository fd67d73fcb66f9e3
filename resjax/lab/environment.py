"""On what a run runs."""

import os
import pathlib
import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorflow-datasets", "numpy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Versions, device and git commit."""
    root = pathlib.Path(__file__).parent.parent
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False).stdout if shutil.which("git") else ""
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} × {device.platform} {device.device_kind}",
        "cpus": os.cpu_count(),
        "git_commit": git.strip() or None,
    }
