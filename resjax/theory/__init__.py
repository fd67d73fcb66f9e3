"""What is known of networks at their start as the width grows: the lines in the figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "factors": ["paths"],
        "kernels": ["cosines", "gradient_correlation", "kappa0", "kappa1"],
        "looped": ["looped_squares"],
        "mean_squares": ["growth", "normalized_residual"],
        "random_walks": ["random_walk", "random_walk_quantiles"],
        "shattering": ["correlations"],
        "spectra": ["condition", "gaussian_conditions", "gaussian_spread", "relu_condition"],
        "sublayers": ["Sublayer"],
        "tanh_layers": ["depth_scale", "mean_field"],
        "token_grams": ["TokenMoments", "tokens"],
    },
)
