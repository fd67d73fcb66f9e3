"""What a network has where a flag is left open, and which flags do not reach a block of one's own."""

IMAGES = {  # CIFAR networks of He et al. 2015
    "branch": "basic",
    "width": 16,
    "order": "post",
    "shortcut": "pad",
    "initializer": "he_normal",
}
TRANSFORMER = {
    "branch": "",
    "width": 64,
    "order": "pre",
    "shortcut": "projection",
    "initializer": "xavier_normal",
}
NETWORKS = {  # what a network has where its flag is left open
    "dense": {
        "branch": "dense",
        "width": 64,
        "order": "pre",
        "shortcut": "projection",
        "initializer": "he_normal",
    },
    "resnet": IMAGES,
    "preact": IMAGES | {"order": "pre"},
    "bottleneck": IMAGES | {"branch": "bottleneck", "order": "pre", "shortcut": "projection"},
    "wide": IMAGES | {"order": "pre", "shortcut": "projection"},
    "iresnet": IMAGES | {"branch": "basic(layers=3,sizes=(3,1,3))", "order": "pre"},
    "imagenet": IMAGES | {"branch": "", "width": 64, "shortcut": "projection"},
    "transformer": TRANSFORMER,
    "vit": TRANSFORMER,
}

STYLE = ("norms", "order", "initializer", "bias_initializer", "activation", "spectral_norm", "branch")
OUTSIDE = "a block of your own, --block={}, is made without it; give one value of"  # stem and head alone have the style
