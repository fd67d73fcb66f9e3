"""Experiments at their smallest: the flags of each, and those of a training of three steps."""

TRAINING = ("--steps=3", "--batch_size=8")
SIGNALS = "normalization", "shattered_gradients", "signal_propagation"  # these train nothing
EXPERIMENTS = {
    "depth_frontier": ("--width=4", "--max_depth=8", "--norms=none", "--connections=residual", "--clip_norm=0"),
    "depth_pays": ("--depths=4", "--seeds=1", "--connections=residual", "--parameters=300", "--shallow_steps=2"),
    "depth_scaling": ("--width=4", "--depths=6", "--connections=residual", "--norms=none"),
    "depth_use": ("--width=4", "--depths=6", "--order=pre", "--warmup_steps=0", "--clip_norm=0"),
    "ensembles": ("--width=4", "--depths=10", "--members=2", "--seeds=1", "--longer=2"),
    "identity": (
        "--width=4", "--shallow=4", "--deep=8", "--depths=2", "--map_steps=1", "--seeds=1", "--connections=rezero",
    ),
    "initialization": (
        "--width=4", "--max_depth=8", "--initializer=he_normal", "--activation=relu", "--variances=0.8",
        "--scale_width=8", "--scale_depth=20",
    ),
    "invertibility": (
        "--width=4", "--depths=6", "--images=1", "--seeds=1", "--connections=residual", "--spectral_norm=0",
    ),
    "invertible_resnet": ("--depths=10", "--width=2", "--images=1", "--spectral_norm=0"),
    "landscape": (
        "--width=4", "--depths=6", "--resolution=3", "--lines=1", "--images=8", "--curvature_points=1", "--lanczos=2",
        "--connections=residual",
    ),
    "learning_rate": ("--width=4", "--depths=6", "--connections=residual", "--norms=none"),
    "lesions": ("--width=4", "--depths=6", "--deletions=1", "--swapped=1", "--draws=1"),
    "normalization": ("--width=8", "--depths=4,8", "--norms=layer", "--connections=plain", "--order=post"),
    "optimization": ("--width=4", "--depths=6"),
    "paths": ("--width=4", "--depths=6", "--samples=1"),
    "shattered_gradients": (
        "--width=8", "--depths=1,3", "--norms=center", "--connections=plain", "--points=32", "--lags=4",
    ),
    "shortcuts": (
        "--width=4", "--depths=10", "--table1_depth=6", "--projections=0", "--layers=1", "--jacobians=1",
        "--connections=residual", "--shortcut=projection",
    ),
    "signal_propagation": (
        "--width=8", "--depths=8", "--norms=batch", "--connections=residual", "--initializer=he_normal",
        "--networks=4", "--widths=8,9", "--wandering_depth=6",
    ),
    "stochastic_depth": ("--width=4", "--depths=6", "--survival=none,uniform(p=0.5)", "--drop=batch"),
    "wide_chain": ("--width=4", "--depths=4", "--images=1", "--lanczos=2", "--seeds=1", "--connections=residual"),
    "wirings": ("--width=4", "--depths=6", "--order=pre", "--connections=mhc", "--warmup_steps=0"),
}  # fmt: skip
