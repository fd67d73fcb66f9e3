"""The limits of the indicators and how often they are right: what results/report_calibration says, by a test."""

from resjax.reporting.limits import Limits

LIMITS = {
    "condition": Limits(high=19.6, most=19.9),
    "activations": Limits(least=-1.64, low=0.0),
    "inputs": Limits(least=-0.656, low=-0.392),
    "gradients": Limits(high=5.69, most=7.85),
}
RIGHT = 52  # of the networks, each judged by limits that the other half chose
WRONG = 2
OPEN = 0
DEPTH = 1000  # of these networks, which are dense
