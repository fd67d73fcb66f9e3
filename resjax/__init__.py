"""resjax: how deep can a network go, and why?

    import resjax as rj

    network = rj.models.dense(1000, connection=rj.nn.Scaled(power=0.5))
    result = rj.fit(network, rj.data.digits(), optax.sgd(0.05, 0.9), steps=200, key=jax.random.key(0))
    table = rj.probes.gradients(network, result.params, result.state, x)

`nn` has what a block is made of, `Stack` and `Network` put blocks together, `models` the networks that have a name,
`data` what they learn from, `fit` trains them, `probes` reads them, `theory` is what is known of them. Everything loads
when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "data",
        "lab",
        "models",
        "nn",
        "probes",
        "reporting",
        "stochastic_depth",
        "system",
        "theory",
        "training",
    ],
    submod_attrs={
        "cost": ["forward_flops", "parameter_count"],
        "lab.report": ["Report", "report"],
        "layers": ["BlockTrace", "Layers"],
        "network": ["Network", "SpaceToDepth"],
        "nn.block": ["Block", "Transition"],
        "random_streams": ["stream"],
        "stack": ["Stack"],
        "stochastic_depth": ["StochasticDepth"],
        "training.fit": ["Result", "fit"],
        "training.loop": ["Every"],
    },
)
