"""The papers' recipes: the flags of one of their runs, by name.

`resnet56_cifar10`, `plain56_cifar10`, `preact1001_cifar10`, `stochastic110_cifar10`, `wrn28_10_cifar10`,
`resnet50_imagenet2012`.
For a set that the paper did not use (Fashion-MNIST) the recipe is the same.

Networks start and join as in the papers' codes, in the repositories named below. What still differs stands under
"Left". In all of them an epoch's last, smaller batch is left out here, as only Zagoruyko & Komodakis do; and Torch's
running variances divide by n − 1, these by n.
"""

from resjax.lab import names
from resjax.system.errors import UserError

IMAGES = {
    "cifar10": "colour 32×32",
    "cifar100": "colour 32×32",
    "fashion_mnist": "grey 28×28",
    "imagenet2012": "colour 224×224",
    "svhn_cropped": "colour 32×32",
}

# He et al. 2015 (arXiv 1512.03385), section 4.2, and 2016 (arXiv 1603.05027). They have not published how they trained
# in Caffe: the start, and weight decay on all parameters, are those of facebookarchive/fb.resnet.torch, to which they
# refer, and of KaimingHe/resnet-1k-layers.
# Left: both codes have Nesterov's momentum, the second has batches of 64; the papers have neither.
# Left: the paper subtracts each pixel's mean and does not scale; here each channel has mean 0 and deviation 1.
# Left: its norms test with averages over a large batch after training, here with running ones.
CIFAR = {
    "network": "resnet",
    "connection": "residual",
    "norm": "batch",
    "initializer": "torch_resnet(mode='fan_out')",
    "optimizer": "sgd(momentum=0.9)",
    "learning_rate": 0.1,
    "schedule": "step(at=(0.5,0.75))",  # ÷10 at 32k and 48k
    "steps": 64_000,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "augment": ("crop(pad=4)", "flip"),
    "checkpoint_every": 1000,
    "log_every": 100,
}
SLOW_START = {"schedule": "step(at=(0.5,0.75),slow_steps=400)"}  # n = 18, and all of He et al. 2016

# Zagoruyko & Komodakis 2016 (arXiv 1605.07146), section 3: 200 epochs, ÷5 after 60, 120 and 160 of them. The start is
# that of the Lua code in szagoruyko/wide-residual-networks; its later PyTorch code draws by fan-in.
# Left: their norms' γ starts uniform in (0, 1), Torch's default, here at 1.
# Left: their crops are filled with reflections, here with zeros; their scripts' images are whitened.
WIDE = CIFAR | {
    "optimizer": "sgd(momentum=0.9,nesterov=True)",
    "schedule": "step(at=(0.3,0.6,0.8),factor=0.2)",
    "steps": 200 * (50_000 // 128),
    "weight_decay": 5e-4,
}

# Huang et al. 2016 (arXiv 1603.09382), section 4, and yueatsprograms/Stochastic_Depth: 500 epochs of 45,000 images,
# linear decay to ½, convolutions by fan-in, shortcuts that average. The 1,202-layer network, which is not in it, has
# the same recipe here, with the slow start of He et al. 2015.
# Left: their norms' γ starts uniform in (0, 1), the classifier's bias in ±1/8, Torch's defaults; here at 1 and 0.
# Left: they subtract each pixel's mean and divide by one deviation, here each channel has its own.
# Left: they hold out 5,000 images and test where the error on these is least; here all train, and the end is tested.
STOCHASTIC = CIFAR | {
    "initializer": "torch_resnet(mode='fan_in')",
    "shortcut": "avg_pool",
    "optimizer": "sgd(momentum=0.9,nesterov=True)",
    "survival": "linear(last=0.5)",
    "steps": 500 * (45_000 // 128),
}
# 50 epochs, ÷10 after 30 and 35, no changes of the images. Theirs are 598,388, with the set's `extra` ones.
SVHN = STOCHASTIC | {
    "dataset": "svhn_cropped",
    "depth": 152,
    "schedule": "step(at=(0.6,0.7))",
    "augment": ("none",),
    "steps": 50 * (73_257 // 128),
}

# He et al. 2015, section 3.4, with the 90 epochs, ÷10 after 30 and 60, and the start of fb.resnet.torch.
# Left: that code has Nesterov's momentum, changes colours, and strides in a bottleneck's 3×3 convolution; the paper in
# its first 1×1, as here. The paper draws the scale of the image, the code, as here, that of the crop.
IMAGENET = CIFAR | {
    "network": "imagenet",
    "schedule": "step(at=(0.3333,0.6667))",
    "steps": 90 * (1_281_167 // 256),
    "batch_size": 256,
    "augment": ("resized_crop", "flip"),
    "image_size": 224,
}


def _presets():
    for dataset in ("cifar10", "cifar100", "fashion_mnist"):
        cifar = CIFAR | {"dataset": dataset}
        wide = WIDE | {"dataset": dataset}
        for depth in (20, 32, 44, 56, 110, 1202):
            slow = SLOW_START if depth >= 110 else {}
            yield f"resnet{depth}_{dataset}", cifar | slow | {"depth": depth}
            yield f"plain{depth}_{dataset}", cifar | slow | {"depth": depth, "connection": "plain"}
        for depth, network in (
            (110, "preact"),
            (164, "bottleneck"),
            (1001, "bottleneck"),
        ):  # He et al. 2016, 1603.05027
            yield f"preact{depth}_{dataset}", cifar | SLOW_START | {"depth": depth, "network": network}
        for depth in (110, 1202):
            slow = SLOW_START if depth > 110 else {}
            yield f"stochastic{depth}_{dataset}", STOCHASTIC | slow | {"dataset": dataset, "depth": depth}
        for depth, factor in ((16, 4), (40, 4), (28, 10)):
            yield f"wrn{depth}_{factor}_{dataset}", wide | {"depth": depth, "network": f"wide(factor={factor})"}
    yield "stochastic152_svhn_cropped", SVHN
    for depth in (18, 34, 50, 101, 152):
        imagenet = IMAGENET | {"dataset": "imagenet2012", "depth": depth}
        yield f"resnet{depth}_imagenet2012", imagenet
        yield f"plain{depth}_imagenet2012", imagenet | {"connection": "plain"}


PRESETS = dict(_presets())
SHOWN = "as resnet56_cifar10, plain56_cifar10, preact1001_cifar10, wrn28_10_cifar100, resnet50_imagenet2012"


def described() -> str:
    """All presets, a line each: the flags of a run."""
    lines = ["Presets: --preset=NAME stands for these flags, and flags beside it win.", ""]
    for name, values in PRESETS.items():
        lines += [f"  {name}", f"      {' '.join(_flag(*pair) for pair in values.items())}"]
    return "\n".join(lines)


def _flag(name: str, value: object) -> str:
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return f'--{name}="{text}"' if "(" in text else f"--{name}={text}"


def recipe(name: str) -> dict:
    """The flags of a preset.

    Raises:
      UserError: an unknown name.
    """
    if name not in PRESETS:
        near = names.perhaps(name, PRESETS)
        raise UserError(f"unknown preset {name!r}{near}: --help=presets has all of them")
    return PRESETS[name]
