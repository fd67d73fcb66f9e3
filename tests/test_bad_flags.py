"""Flags that cannot be: one line on stderr, exit code 2, nothing made. See `test_bad_input` for the real command."""

import importlib
import os
import signal
import sys

import pytest

from resjax.lab import flags
from resjax.system import interrupts


@pytest.fixture
def refused_here(tmp_path, monkeypatch, capfd):
    """Runs a command in this process, asserts that it refuses in one line and makes nothing, and returns the line."""
    before = {number: signal.getsignal(number) for number in interrupts.STOPPING}

    def refused(*arguments, experiment="depth_scaling"):
        module = importlib.import_module(experiment if "." in experiment else f"experiments.{experiment}")
        monkeypatch.setattr(sys, "argv", [experiment, f"--workdir={tmp_path}/run", *arguments])
        with pytest.raises(SystemExit) as left:
            flags.main(
                *(module.STUDY.config, module.STUDY.run, module)
                if hasattr(module, "STUDY")
                else (module.Config, module.run)
            )
        err = capfd.readouterr().err
        assert (left.value.code, err.count("\n")) == (2, 1) and not list(tmp_path.iterdir()), err
        return err

    yield refused
    for number, handler in before.items():
        signal.signal(number, handler)


BAD = (
    (["--depths=0"], "--depths=0: must be at least 1"),
    (["--depths=4,abc"], "abc"),
    (["--depths=5"], "--network=dense: depth 5: dense with 2 layers a branch has depth 2 + 2·n; nearest: 4 and 6"),
    (
        ["--connections=residul"],
        "unknown connection 'residul', perhaps residual: known are plain, residual, projection, scaled, rezero",
    ),
    (["--norms=batch,grop"], "unknown norm 'grop', perhaps group: known are none, batch, center, layer, group, rms"),
    (["--dataset=nosuchset"], "unknown dataset 'nosuchset': known are digits"),
    (["--dataset=mnist", "--data_dir=/nowhere"], "python -m resjax.prepare --dataset=mnist --data_dir=/nowhere"),
    (
        ["--network=resnet", "--depths=21"],
        "--network=resnet: depth 21: resnet with 2 layers a branch has depth 2 + 6·n; nearest: 20 and 26",
    ),
    (
        ["--network=imagenet", "--depths=18"],
        "needs images with a side of 32 pixels or more, digits has 8×8",
    ),
    (["--preset=resnet56_cifar10", "--dataset=digits"], "is for cifar10 (colour 32×32 images), not for"),
    (["--examples=1501"], "--examples=1501: digits has 1500 training images"),
    (["--augment=rotate"], "unknown augmentation 'rotate': known are crop, flip"),
    (["--seeds=0"], "--seeds=0: must be at least 1"),
    (["--seeds=2147483647"], "--seeds=2147483647: must be at most 10000"),
    (["--steps=1000000000000"], "--steps=1000000000000: must be at most 2147483647"),
    (["--learning_rates=inf"], "--learning_rates=inf: must be finite"),
    (["--width=1000000000"], "dense of depth 4 and width 1000000000: with 2,000,000,0"),
    (["--depths=1000000000"], "parameters it needs "),
    (["--batch_size=1"], "a batch of one vector has no statistics: train with larger batches, or with another norm"),
    (["--connections=resiudal"], "unknown connection 'resiudal', perhaps residual: known are plain"),
    (["--schedule=cosin"], "unknown schedule 'cosin', perhaps cosine: known are constant, cosine, linear, step"),
    (["--schedule=step(at=(0,5,0,75))"], "must be made of what is above 0 and below 1; step takes at=(0.5, 0.75), fac"),
    (["--schedule=step(slow_steps=400)", "--steps=800"], "slow_steps=400: must be less than 400, where the rate falls"),
    (["--dataset=CIFAR10"], "unknown dataset 'CIFAR10': known are digits, mnist1d"),
    (["--dataset=CIFAR10"], ", perhaps cifar10"),
    (["--remat=nothing_savable"], "unknown remat policy 'nothing_savable', perhaps nothing_saveable"),
    (["--connections=scaled(bta=1)"], "no argument 'bta', perhaps beta; scaled takes alpha=1.0, beta=1.0, power=0.0"),
    (["--network=resnet", "--depths=8", "--augment=crop(pad=8)"], "pad=8: must be less than 8, the shorter side of"),
    (
        ["--block=own_blocks:Mine"],
        "--norms=none,batch: a block of your own, --block=own_blocks:Mine, is made without it",
    ),
    (["--block=own_blocks:Mine", "--norms=batch", "--sweep=order=pre,post"], "give one value of order"),
    (["--store=~nobody_of_this_name/run"], "~nobody_of_this_name/run: there is no such user"),
    (["--batch_size=1501"], "--batch_size=1501: digits has 1500 training images"),
    (["--plot_only"], "there is no run in"),
    (["--coordinator=here:1"], "--coordinator=here:1: goes with --distributed"),
    (["--processes=2", "--process=1"], "--processes=2: goes with --coordinator"),
    (["--distributed", "--process=1"], "--process=1: goes with --coordinator"),
    (["--sweep=learning_rat=1"], "'learning_rat' cannot be swept; give an option of this experiment, perhaps"),
    (["--sweep=width=x"], "width=x: must be a whole number"),
    (["--sweep=connections=plain,residul"], "unknown connection 'residul', perhaps residual"),
    (["--connections=delta", "--survival=uniform(p=0.5)"], "Delta: adds the same however stochastic depth scales F(x)"),
    (["--seeds_together", "--survival=uniform(p=0.5)"], "--seeds_together: networks that train together drop the same"),
    (
        ["--network=bottleneck", "--depths=11", "--connections=residual", "--projections=1"],
        "no block keeps the size; use 0",
    ),
    (["--shard=3/2"], "--shard=3/2: must be i/n with i from 1 to n"),
    (["--workers=0"], "--workers=0: must be at least 1"),
    (["--workers=2", "--distributed"], "--workers=2: processes share networks, or with --distributed each network"),
    (["--shard=1/2", "--plot_only"], "--shard=1/2: has no tables that --plot_only could draw"),
    (["--store=ftp://abc/d"], "ftp://abc/d: must be a directory or gs://BUCKET/FOLDER"),
    (["--compile_cache=ftp://abc/d"], "ftp://abc/d: must be a directory or gs://BUCKET/FOLDER"),
)


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_flags(refused_here, arguments, says):
    assert says in refused_here(*arguments)


def test_a_bucket_without_what_reads_it(refused_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert "gs://abc/d: buckets need the extra [gcs]" in refused_here("--compile_cache=gs://abc/d")


@pytest.mark.parametrize(
    ("experiment", "arguments", "says"),
    (
        ("benchmarks.throughput", ["--turns=0"], "--turns=0: must be at least 1"),
        ("benchmarks.anatomy", ["--", "benchmarks.throughput"], "-- benchmarks.throughput: is not an experiment: "),
        ("benchmarks.anatomy", ["--", "./x"], "-- ./x: is not an experiment: "),
        ("benchmarks.anatomy", ["--", ""], "-- : is not an experiment: "),
        ("benchmarks.anatomy", ["--", "experiments.depth_scaling", "-h"], "-- experiments.depth_scaling -h: cannot be"),
        ("benchmarks.anatomy", ["--", "experiments.depth_scaling", "--store=x"], "--store=x: cannot be given here"),
        ("benchmarks.anatomy", ["--", "experiments.depth_scaling", "--depths=0"], "--depths=0: must be at least 1"),
        (
            "benchmarks.accelerator",
            ["--groups=matrix,sped"],
            "--groups=sped, perhaps seeds: must be one of matrix, step",
        ),
        ("benchmarks.throughput", ["--networks=dens"], "--networks=dens, perhaps dense: must be one of dense, images,"),
        ("benchmarks.throughput", ["--sweep=turns=3,5"], "Unknown command line flag 'sweep'"),
        ("benchmarks.operations", ["--depth=9"], "--network=resnet: depth 9: "),
        ("benchmarks.accelerator", ["--size=smal"], "--size=smal, perhaps small: must be one of full, small"),
        ("benchmarks.accelerator", ["--minutes=0"], "--minutes=0.0: must be at least 0.01"),
        ("benchmarks.scale", ["--chips=1"], "--chips=1: must be at least 2"),
        ("benchmarks.scale", ["--layouts=rows"], "--layouts=rows: must be one of data, fsdp, layers"),
        ("benchmarks.scale", ["--networks=mlp:4"], "--networks=mlp:4: must be NAME:LAYERS, with a name of bottleneck,"),
        (
            "benchmarks.scale",
            ["--networks=transformer:1003"],
            "--networks=transformer:1003: depth 1003: a transformer of",
        ),
        ("benchmarks.scale", ["--width=100"], "--networks=transformer:1002: width 100: must be a multiple of 32"),
        (
            "benchmarks.scale",
            ["--width=16", "--networks=transformer:34"],
            "--networks=transformer:34: width 16: must be a multiple of 32, for 16 heads of an even number each",
        ),
        ("depth_frontier", ["--max_depth=-3"], "--max_depth=-3: must be at least 1"),
        ("depth_frontier", ["--max_depth=3"], "--network=dense: depth 3: dense with 2 layers a branch has depth 2"),
        (
            "signal_propagation",
            ["--block=collections:OrderedDict", "--norms=none"],
            "must give a flax.linen.Module that is",
        ),
        ("signal_propagation", ["--block=own_blocks:Wider", "--norms=none"], "Wider makes 33 of 32, not its own shape"),
        (
            "signal_propagation",
            ["--block=own_blocks:Mine"],
            "--norms=none,batch,layer: a block of your own, --block=own",
        ),
        (
            "signal_propagation",
            ["--inputs=900000,900000,3"],
            "a batch of 64 inputs needs 1.11 PiB of memory or more, and",
        ),
        ("signal_propagation", ["--pairs=2000000000"], "a batch of 4000000000 inputs needs 1.86 TiB of memory or more"),
        ("signal_propagation", ["--inputs=8,8"], "--inputs=8,8: give height, width and channels"),
        ("shattered_gradients", ["--lags=256"], "--lags=256: must be less than --points=256"),
        ("learning_rate", ["--learning_rates=0,1"], "--learning_rates=0.0: must be at least 1e-30"),
        ("lesions", ["--learning_rate=1", "--learning_rates=1,2"], "--learning_rate=1: goes without --learning_rates"),
    ),
)
def test_bad_flags_of_other_experiments(refused_here, monkeypatch, experiment, arguments, says):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    assert says in refused_here(*arguments, experiment=experiment)
