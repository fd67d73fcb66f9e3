"""Every experiment at a small setting, and whether two versions of the code give the same tables.

    python -m tests.golden record DIR [CASE …]     # runs everything, or cases that begin so: tables in DIR/CASE
    python -m tests.golden compare DIR OTHER       # which tables differ, to the last bit; exit code 1 if any do

Run both versions with the same Python, the same packages and the same number of cores (`taskset -c 0`): XLA's CPU
programs depend on all three. Tables of times are left out. `record` skips what DIR has already.
"""

import os
import pathlib
import subprocess
import sys
import time

import pandas as pd

ROOT = pathlib.Path(__file__).parent.parent
TIMES = {"timings.csv"}
RATES = ["--width=8", "--steps=12", "--batch_size=32"]
SMALL = [*RATES, "--log_every=4"]
ONE = ["--depths=12", "--connections=residual", "--norms=batch"]
SCALING = {  # what one network can be made of and trained with, on the digits
    "connections": [
        "--depths=8", "--norms=batch",
        "--connections=plain,residual,projection,scaled(power=0.5),rezero,shortcut_gate,exclusive_gate,dropout",
    ],
    "norms": ["--depths=8", "--norms=none,batch,center,layer,rms", "--connections=residual", "--learning_rate=0.01"],
    "seeds": [*ONE, "--depths=4,8", "--seeds=2", "--connections=plain,residual"],
    "together": [*ONE, "--seeds=2", "--seeds_together", "--survival=linear(last=0.5)"],
    **{
        f"order_{order}": [*ONE, f"--order={order}", "--connections=plain,residual"]
        for order in ("post", "norm_after_addition", "activation_before_addition", "activation_only_pre")
    },
    "resnet": [*ONE, "--network=resnet", "--depths=8", "--width=4", "--connections=plain,residual"],
    "resnet_projection": [*ONE, "--network=resnet", "--depths=14", "--width=4", "--shortcut=projection"],
    "resnet_few": [*ONE, "--network=resnet", "--depths=20", "--width=4", "--shortcut=orthogonal", "--projections=2"],
    "resnet_pool": [*ONE, "--network=resnet", "--depths=8", "--width=4", "--shortcut=max_pool", "--remat="],
    "preact": [*ONE, "--network=preact", "--depths=14", "--width=4", "--augment=crop(pad=1),flip"],
    "bottleneck": [*ONE, "--network=bottleneck", "--depths=11", "--width=4", "--branch=bottleneck(strided=1)"],
    "wide": [*ONE, "--network=wide(factor=2)", "--depths=10", "--width=4", "--branch=basic(dropout=0.3)"],
    "iresnet": [
        *ONE, "--network=iresnet", "--depths=19", "--width=4", "--norms=none", "--activation=elu",
        "--spectral_norm=0.9", "--steps=4",
    ],
    **{
        f"drop_{mode}_{scaling}": [*ONE, "--survival=uniform(p=0.5)", f"--drop={mode}", f"--scaling={scaling}"]
        for mode in ("batch", "sample", "subset") for scaling in ("test", "inverted")
    },
    "drop_resnet": [*ONE, "--network=resnet", "--depths=14", "--width=4", "--survival=linear(last=0.5)"],
    "spectral": [*ONE, "--spectral_norm=0.5", "--norms=none"],
    "fixup": [*ONE, "--initializer=fixup", "--norms=none", "--connections=rezero(alpha=1)"],
    "looks_linear": [
        *ONE, "--initializer=looks_linear", "--activation=crelu", "--norms=none", "--connections=plain",
        "--learning_rate=0.001",
    ],
    "initializers": [*ONE, "--initializer=normal(stddev=0.1)", "--bias_initializer=constant(value=0.1)"],
    "adam": [*ONE, "--optimizer=adam", "--schedule=cosine", "--warmup_steps=3", "--learning_rate=0.003"],
    "adamw": [*ONE, "--optimizer=adamw", "--schedule=linear", "--weight_decay=0.1", "--clip_norm=1"],
    "text": [
        *ONE, "--network=transformer(heads=2)", "--dataset=text(window=8)", "--depths=10", "--norms=layer",
        "--order=deepnorm", "--optimizer=adamw",
    ],
    "vit": [*ONE, "--network=vit(patch=2,heads=2)", "--depths=10", "--norms=layer", "--order=peri"],
    "sgd": [*ONE, "--optimizer=sgd(momentum=0.8,nesterov=True)", "--schedule=step", "--weight_decay=1e-3"],
    "bfloat16": [*ONE, "--dtype=bfloat16", "--activation=gelu", "--branch=dense(layers=3)", "--depths=11"],
    "labels": [*ONE, "--random_labels=0.5", "--examples=100"],
    "block": [*ONE, "--block=own_blocks:Mine", "--width=6", "--depths=6"],
}  # fmt: skip
OTHERS = {
    "depth_frontier": [*SMALL, "--max_depth=32", "--steps=40", "--accuracy=0.4", "--norms=none,batch"],
    "ensembles": [*SMALL, "--depths=10", "--members=2", "--connections=residual,plain"],
    "identity": [*SMALL, "--shallow=4", "--deep=8", "--depths=4", "--connections=plain,rezero", "--map_steps=8"],
    "initialization": [
        *SMALL, "--initializer=zeros,he_normal,looks_linear,fixup", "--max_depth=16", "--variances=0.8,1.5",
        "--scale_width=32", "--scale_depth=24", "--accuracy=0.3",
    ],
    "invertibility": [*SMALL, "--width=8", "--depths=6", "--images=2", "--norms=none,batch"],
    "invertible_resnet": [
        *SMALL, "--depths=10", "--width=2", "--spectral_norm=0.7,0", "--images=2", "--steps=4",
    ],
    "landscape": [
        *SMALL, "--depths=6", "--resolution=5", "--lines=2", "--images=32", "--curvature_points=2", "--lanczos=4",
        "--trajectory_every=4", "--planes=random,pca",
    ],
    "learning_rate": [*RATES, "--depths=6", "--connections=residual,scaled(power=1)"],
    "report": [*RATES, "--depth=12", "--connections=plain", "--warmup_steps=2", "--thorough"],
    "depth_use": [*RATES, "--depths=10", "--warmup_steps=2"],
    "wirings": [*RATES, "--depths=10", "--warmup_steps=2", "--order=pre,deepnorm", "--connections=mhc,dense_former"],
    "lesions": [*SMALL, "--depths=20", "--deletions=1,3", "--swapped=1,2", "--draws=3"],
    "lesions_resnet": [
        *SMALL, "--depths=14", "--width=4", "--network=resnet", "--deletions=1", "--swapped=1", "--draws=2",
    ],
    "normalization": ["--width=16", "--depths=4,10", "--norms=none,batch,layer"],
    "optimization": [*SMALL, "--depths=6", "--steps=40", "--seeds=2"],
    "paths": [*SMALL, "--depths=12", "--samples=3", "--norms=none,batch"],
    "shattered_gradients": [
        "--width=16", "--depths=1,4", "--seeds=2", "--points=32", "--lags=4", "--norms=none,center,batch",
    ],
    "shortcuts": [
        *SMALL, "--depths=10", "--table1_depth=6", "--projections=0,2", "--layers=1,2", "--jacobians=2",
        "--connections=residual,scaled(alpha=0.5)",
    ],
    "shortcuts_resnet": [
        *SMALL, "--studies=projections", "--network=resnet", "--depths=8", "--width=2", "--projections=0,-1",
        "--shortcut=pad,projection,orthogonal,max_pool", "--jacobians=2",
    ],
    "signal_propagation": ["--width=16", "--depths=4,30", "--connections=plain,residual,scaled(power=0.5),rezero"],
    "signal_propagation_preact": [
        "--network=preact", "--inputs=8,8,1", "--depths=14", "--width=4", "--connections=residual", "--norms=batch",
        "--networks=0",
    ],
    "stochastic_depth": [*SMALL, "--depths=12", "--survival=none,linear(last=0.5)"],
}  # fmt: skip
CASES = {f"depth_scaling_{name}": [*SMALL, *flags] for name, flags in SCALING.items()} | OTHERS
EXPERIMENTS = {path.stem for path in (ROOT / "experiments").glob("*.py")}


def experiment_of(case: str) -> str:
    """The experiment that a case is of: the longest name that it begins with."""
    return max((name for name in EXPERIMENTS if case.startswith(name)), key=len)


def record(folder: pathlib.Path, chosen: tuple[str, ...]):
    """Runs every chosen case that the folder does not have yet."""
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for case, flags in CASES.items():
        work = folder / case
        if (work / "figure.png").exists() or not case.startswith(chosen):
            continue
        started = time.perf_counter()
        command = [sys.executable, "-m", f"experiments.{experiment_of(case)}", *flags, f"--workdir={work}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        said = "" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-2000:]}"
        print(f"{case}: {time.perf_counter() - started:.0f} s {said}", flush=True)


def compare(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Prints which tables differ, and by how much; whether none does."""
    same = True
    for case in CASES:
        names = {path.name for folder in (one, other) for path in (folder / case).glob("*.csv")} - TIMES
        if not names:
            print(f"{case}: no tables")
            same = False
        for name in sorted(names):
            paths = one / case / name, other / case / name
            if not all(path.exists() for path in paths):
                print(f"{case}/{name}: only in one")
                same = False
            elif paths[0].read_bytes() != paths[1].read_bytes():
                print(f"{case}/{name}: {differences(*map(pd.read_csv, paths))}")
                same = False
    return same


def differences(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """How many rows differ, in which columns."""
    if one.shape != other.shape or list(one.columns) != list(other.columns):
        return f"{one.shape} {list(one.columns)} against {other.shape} {list(other.columns)}"
    differ = ~((one == other) | (one.isna() & other.isna()))
    return f"{differ.any(axis=1).sum()} of {len(one)} rows differ, in {', '.join(one.columns[differ.any()])}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["record", folder, *chosen]:
            record(pathlib.Path(folder).resolve(), tuple(chosen) or ("",))
        case ["compare", one, other]:
            sys.exit(not compare(pathlib.Path(one), pathlib.Path(other)))
        case _:
            sys.exit(__doc__)
