"""Any arguments behind any name of the command line are refused in one line, or the network trains two steps."""

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resjax import data
from resjax.lab import optimizer, plan, registry
from resjax.lab.trial import Trial
from resjax.nn import arguments
from resjax.system.errors import UserError
from resjax.training import step, tasks

KINDS = {  # of names: the table, and what a trial needs for them
    "connection": (registry.CONNECTIONS, {}),
    "norm": (registry.NORMS, {}),
    "branch": (registry.BRANCHES, {}),
    "shortcut": (registry.SHORTCUTS, {"network": "resnet", "depth": 8}),
    "activation": (registry.ACTIVATIONS, {}),
    "initializer": (registry.INITIALIZERS, {}),
    "bias_initializer": (registry.INITIALIZERS, {}),
    "survival": (registry.SURVIVAL, {}),
    "augment": (registry.AUGMENTATIONS, {}),
    "optimizer": (optimizer.OPTIMIZERS, {}),
    "schedule": (optimizer.SCHEDULES, {}),
    "network": (registry.NETWORKS, {"depth": 10}),
    "order": (registry.orders(), {}),
    "dataset": (data.BUILT_IN, {}),
    "task": (dict.fromkeys(tasks.TASKS, lambda: None), {}),
}
TOKENS = {"network": "transformer(heads=2)", "norm": "layer"}
NEEDED = {  # by names of their own
    "basic": {"network": "resnet", "depth": 8},
    "bottleneck": {"network": "bottleneck", "depth": 11},
    "imagenet": {"depth": 18},
    "transformer": {"dataset": "text(window=8)"},
    "text": TOKENS,
    "induction": TOKENS,
    "language_model": TOKENS | {"dataset": "text(window=8)"},
}
NUMBERS = (-1, 0, 1, 2, 7, 10**12, -0.5, 0.0, 0.5, 1.0, 1.5, 1e30)
VALUES = st.sampled_from((*NUMBERS, "a", "fan_in", None, True, (), (0.5, 0.75), (3, 1), (50, 75)))
PATIENT = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@st.composite
def trials(draw, kind):
    """A small trial with one name of this kind, and arguments that may be right or wrong."""
    table, options = KINDS[kind]
    name = draw(st.sampled_from(sorted(table)))
    known = [word for word, one in arguments.parameters(table[name]).items() if arguments.written(one)]
    chosen = draw(st.dictionaries(st.sampled_from([*known, "what"]), VALUES, max_size=2))
    text = f"{name}({','.join(f'{word}={value!r}' for word, value in chosen.items())})"
    own = {kind: (text,) if kind == "augment" else text}
    return Trial(**{"depth": 6, "width": 4, "steps": 10, "batch_size": 8} | options | NEEDED.get(name, {}) | own)


def refused_or_planned(trial):
    """What a trial asks for; None if it is refused, which takes one line."""
    try:
        return plan.plan(trial)
    except UserError as error:
        assert str(error) and "\n" not in str(error)
        return None


def refused_or_trained(trial):
    """Whether it trained: two steps."""
    planned = refused_or_planned(trial)
    if planned is None:
        return False
    state = plan.start(planned, trial)
    batches = plan.batches(trial, planned.dataset)
    for number in range(2):
        state, _, _ = step.train_step(
            planned.network, planned.optimizer.build(), state, batches.at(number), task=planned.learned
        )
    assert int(state.step) == 2
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_any_arguments_are_refused_in_one_line_or_can_be_planned(kind):
    @settings(max_examples=4, **PATIENT)
    @given(trials(kind))
    def holds(trial):
        refused_or_planned(trial)

    holds()


@settings(max_examples=2, **PATIENT)
@given(st.sampled_from(sorted(KINDS)).flatmap(trials))
def test_any_arguments_are_refused_in_one_line_or_train_two_steps(trial):
    refused_or_trained(trial)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_of_each_kind_any_arguments_are_refused_in_one_line_or_train_two_steps(kind):
    trained = []

    @settings(max_examples=25, **PATIENT)
    @given(trials(kind))
    def holds(trial):
        trained.append(refused_or_trained(trial))
        jax.clear_caches()

    holds()
    assert any(trained) and (kind == "task" or not all(trained))
