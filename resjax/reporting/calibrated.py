"""The limits of the indicators, which `experiments.report_calibration` chose: no number here is chosen by hand."""

LIMITS = {  # log₁₀, in magnitude: ok to the first, bad from the second
    "activations": (2.0, 20.0),
    "gradients": (2.0, 20.0),
}
