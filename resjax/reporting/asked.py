"""What a report asks for, by name; no JAX here."""

SIGNALS = (
    *("activation_mean_square", "gradient_mean_square", "input_cosine", "token_cosine", "gradient_cosine"),
    "dead_fraction",
)
THEORY = {  # of the signals: the column of theory's line
    "activation_mean_square": "activation_theory",
    "gradient_mean_square": "gradient_theory",
    "input_cosine": "cosine_theory",
    "token_cosine": "token_theory",
}
RUNGS = 3  # depths that are trained: a hundredth, a tenth and all of that asked for
PLACES = 101  # blocks of a network that stand in the tables
