"""Reading a network: functions of its `apply` and its parameters that ride the scan.

However deep the network, a probe costs about a pass over it, and its program does not grow.
"""

from resjax.probes import gradients, lesions, paths, reading, signals, whiteness

__all__ = ("gradients", "lesions", "paths", "reading", "signals", "whiteness")
