"""What a block is made of: branches, connections, shortcuts, norms, activations, initialisers, stems and heads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "arguments",
        "convolution",
        "initializers",
        "kinds",
        "order",
        "place",
        "space_to_depth",
        "spectral_norm",
    ],
    submod_attrs={
        "activations": ["crelu"],
        "arguments": ["Checked", "checked"],
        "block": ["Block", "Transition"],
        "branches": ["Basic", "Bottleneck", "Branch", "BranchOf", "Dense"],
        "connections": [
            "Connection",
            "Dropout",
            "ExclusiveGate",
            "Plain",
            "Projected",
            "ReZero",
            "Residual",
            "Scaled",
            "ShortcutGate",
        ],
        "heads": ["Head"],
        "kinds": ["Range"],
        "module": ["Part", "Pointwise"],
        "norms": ["BatchNorm", "Center", "GroupNorm", "LayerNorm", "NoNorm", "RMSNorm"],
        "order": [
            "ACTIVATION_BEFORE_ADDITION",
            "ACTIVATION_ONLY_PRE",
            "BETWEEN",
            "NORM_AFTER_ADDITION",
            "ORDERS",
            "Order",
            "POST",
            "PRE",
        ],
        "place": ["Place"],
        "shortcuts": ["AvgPool", "MaxPool", "Pad", "Projection", "Shortcut", "orthogonal"],
        "stems": ["ConvStem", "DenseStem", "ImageNetStem", "PaddingStem", "Stem"],
    },
)
