"""Numbers of the papers that figures and tables show beside ours."""

import math

# He et al. 2016 (arXiv 1603.05027), table 1: test error of ResNet-110 on CIFAR-10 (%), by connection; nan: it failed.
SKIPS = {
    "residual": 6.61,
    "plain": math.nan,
    "scaled(alpha=0.5)": math.nan,
    "scaled(alpha=0.5,beta=0.5)": 12.35,
    "exclusive_gate(bias=-6)": 8.70,
    "shortcut_gate(bias=0)": 12.86,
    "shortcut_gate(bias=-6)": 6.91,
    "projection": 12.22,
    "dropout": math.nan,
}

# Veit et al. 2016 (arXiv 1605.06431), section 4.3: lengths of the paths that bring the gradient, by number of blocks.
PATHS = {54: (5, 17)}
