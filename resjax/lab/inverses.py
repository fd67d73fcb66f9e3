"""Which networks the experiments on inverses take."""

from resjax import probes
from resjax.lab import plan, registry
from resjax.lab.plan import Plan
from resjax.lab.trial import Trial
from resjax.system.errors import UserError


def planned(trial: Trial) -> Plan:
    """What a trial asks for (see `plan.plan`), where its blocks can be inverted.

    Raises:
      UserError: a bound that promises no inverse, a network that has none, or what `plan.plan` refuses.
    """
    if trial.spectral_norm >= 1:
        raise UserError(f"--spectral_norm={trial.spectral_norm:g}: an inverse is promised only below 1; 0: no bound")
    found = plan.plan(trial)
    with registry.flag("network", trial.network):
        probes.blocks.check(found.network)
    with registry.flag("order", trial.order):
        probes.inversion.check(found.network)
    return found
