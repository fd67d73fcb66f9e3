"""Reading a network: what its blocks do to the stream and to the gradient, by functions that ride the scan.

    table = probes.signals(network, params, state, x)        # a DataFrame, a row a block

However deep the network, a probe costs about a pass over it, and its program does not grow. Behind each table are
functions of arrays, in the submodules, that work under `jax.jit` and `jax.vmap`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        *("backward", "blocks", "curvature", "deletion", "determinants", "directions", "ensembles", "forks"),
        *("forward", "identity", "inversion", "inversion_bounds", "lesion_checks", "lesion_study", "lipschitz_bounds"),
        *("loss_surface", "once", "path_lengths", "planes", "recovery", "singular_values", "solvers", "stretch"),
        *("stream_mixing", "surroundings", "total_jacobian", "undoing", "utilization", "whiteness"),
    ],
    submod_attrs={
        "backward": ["gradients"],
        "curvature": ["hessian"],
        "deletion": ["lesions"],
        "utilization": ["depth_score", "depth_use"],
        "forward": ["signals"],
        "inversion": ["inverse"],
        "lipschitz_bounds": ["lipschitz"],
        "loss_surface": ["landscape"],
        "path_lengths": ["paths"],
        "singular_values": ["jacobian"],
        "stream_mixing": ["mixing", "reads"],
    },
)
