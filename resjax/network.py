"""A network: stem → stages → head."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from resjax.layers import BlockTrace, Layers
from resjax.nn.block import Block, Transition
from resjax.nn.place import Place
from resjax.nn.space_to_depth import depth_to_space, space_to_depth
from resjax.stack import Stack
from resjax.stochastic_depth import StochasticDepth

SHARED = "embedding"  # the parameter that a head that is tied shares with the stem
NARROW = "narrow"  # the parameters, if there are any, with which the last connection narrows its streams


@dataclasses.dataclass(frozen=True)
class SpaceToDepth:
    """A stage without blocks: squares of pixels become channels, B H W C -> B H/side W/side side²·C."""

    side: int = 2

    def __call__(
        self, x: Shaped[Array, "B H W C"]
    ) -> Shaped[Array, "B H//{self.side} W//{self.side} C*{self.side}**2"]:
        """The smaller image."""
        return space_to_depth(x, self.side)

    def inverse(self, x: Shaped[Array, "B H W C"]) -> Shaped[Array, "B H*{self.side} W*{self.side} C//{self.side}**2"]:
        """The larger image."""
        return depth_to_space(x, self.side)


@dataclasses.dataclass(frozen=True)
class Network:
    """Inputs to outputs. Parameters and state are dicts.

    Their keys are stem, stages (a list, an entry a stack) and head; the parameters have narrow, too, if the last
    connection learns how to narrow its streams.

    Blocks are numbered through all stages, first to last; arrays over the layers (`Layers`) and
    probe values span them all.
    """

    stem: nn.Module  # (x, train) -> the stream, B … D
    stages: Sequence[Stack | SpaceToDepth]  # kept as a tuple
    head: nn.Module  # (the stream, train) -> outputs, B K, or B … K
    dtype: Any = (
        None  # what inputs are cast to and logits cast back from, as jnp.bfloat16; None leaves them as they are
    )
    stochastic_depth: StochasticDepth | None = None

    def __post_init__(self):
        object.__setattr__(self, "stages", tuple(self.stages))
        for block in set(self.blocks) if self.stochastic_depth else ():
            if not block.connection.scales:
                name = type(block.connection).__name__
                raise ValueError(f"connection {name}: adds the same however stochastic depth scales F(x)")

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The stages that have blocks."""
        return tuple(stage for stage in self.stages if isinstance(stage, Stack))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, L, first to last."""
        return tuple(
            itertools.chain.from_iterable(stack.blocks * (stack.length // len(stack.blocks)) for stack in self.stacks)
        )

    @property
    def length(self) -> int:
        """L, the number of blocks."""
        return sum(stack.length for stack in self.stacks)

    @property
    def transitions(self) -> tuple[bool, ...]:
        """By block, L: whether it is a `Transition`, which can be neither deleted nor moved."""
        return tuple(isinstance(block, Transition) for block in self.blocks)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of blocks of each stage of images of one size; such a stage may be several stacks."""
        firsts = {0}
        end = 0
        for stage in self.stages:
            if not isinstance(stage, Stack) or isinstance(stage.blocks[0], Transition):
                firsts.add(end)
            end += getattr(stage, "length", 0)
        return tuple(end - first for first, end in itertools.pairwise(sorted({*firsts, self.length})))

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path: stem, branches and head (He et al. 2015)."""
        layers = [
            stack.length // len(stack.blocks) * getattr(block.branch, "layers", 1)
            for stack in self.stacks
            for block in stack.blocks
        ]
        return getattr(self.stem, "layers", 1) + sum(layers) + 1

    @property
    def stride(self) -> int:
        """How many pixels of the image, in a row, one of the last stage stands for."""
        sides = [stage.side for stage in self.stages if isinstance(stage, SpaceToDepth)]
        blocks = [block for stack in self.stacks for block in stack.blocks]  # one with a stride is in no loop
        strides = [getattr(block.branch, "stride", 1) for block in blocks]
        return math.prod([*sides, *strides]) * getattr(self.stem, "stride", 1)

    def init(self, key: PRNGKeyArray, x: Shaped[Array, "B ..."]) -> tuple[dict, dict]:
        """Parameters and state for inputs shaped like x (B H W C for images)."""
        stem_key, head_key, *stack_keys = jax.random.split(key, 2 + len(self.stacks))
        params: dict[str, Any] = {"stages": []}
        state: dict[str, Any] = {"stages": []}
        x, params["stem"], state["stem"] = _init(self.stem, stem_key, self._cast(x))
        x = self.widen(x)
        keys = iter(stack_keys)
        first = 0
        for stage in self.stages:
            if isinstance(stage, Stack):
                stack_params, stack_state = stage.init(next(keys), x, first, self.length)
                params["stages"].append(stack_params)
                state["stages"].append(stack_state)
                run = functools.partial(stage.apply, first=first, total=self.length)
                x, _, _ = jax.eval_shape(run, stack_params, stack_state, x)
                first += stage.length
            else:
                x = jax.eval_shape(stage, x)
            x = jnp.zeros(x.shape, x.dtype)  # the next stage's shapes are all that it is for
        if own := self._narrowing(jax.random.fold_in(head_key, 1), x):
            params[NARROW] = own
        _, params["head"], state["head"] = _init(self.head, head_key, self.narrow(params, x))
        if self._tied:
            del params["head"][SHARED]
        return params, state

    def apply(
        self,
        params: dict,
        state: dict,
        x: Shaped[Array, "B ..."],
        layers: Layers = Layers(),
        *,
        train: bool = False,
        probe: Callable[[BlockTrace], Any] | None = None,
        fork: Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]] | None = None,
        hold: Callable[[jax.Array], jax.Array] | None = None,
    ) -> tuple[Float[Array, "B ... K"], dict, Any]:
        """Runs inputs x (B H W C for images) through the network.

        Returns:
          outputs (B K, or B … K: logits, or numbers), the new state (the old one unless `train`), and the probe's
          values with a leading axis of L. For `layers`, `probe`, `fork` and `hold` see `Stack.apply`; `layers.rows` is
          a tuple, an array a stack.
        """
        if self.stochastic_depth and not train:
            layers = self.stochastic_depth.evaluation(layers)
        elif self.stochastic_depth and layers.gates is not None:
            layers = self.stochastic_depth.training(layers, [stack.length for stack in self.stacks], len(x))
        stream, stem_state = _apply(self.stem, params["stem"], state["stem"], self._cast(x), train)
        stream, stage_states, seen = self.run_stages(
            params["stages"],
            state["stages"],
            self.widen(stream),
            layers,
            train=train,
            probe=probe,
            fork=fork,
            hold=hold,
        )
        stream = self.narrow(params, stream)
        logits, head_state = _apply(self.head, self.head_params(params), state["head"], stream, train)
        precision = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.promote_types(logits.dtype, jnp.float32)
        return logits.astype(precision), {"stages": stage_states, "stem": stem_state, "head": head_state}, seen

    def run_stem(self, params: dict, state: dict, x: Shaped[Array, "B ..."]) -> Float[Array, "B ... D"]:
        """What the first block gets of inputs x, B … D, in evaluation."""
        return self.widen(_apply(self.stem, params["stem"], state["stem"], self._cast(x), False)[0])

    def run_head(self, params: dict, state: dict, x: Float[Array, "B ... D"]) -> Float[Array, "B ... K"]:
        """The outputs of a stream x behind any block, B K or B … K, in evaluation."""
        return _apply(self.head, self.head_params(params), state["head"], self.narrow(params, x), False)[0]

    def run_stages(
        self, params: list, state: list, x: Float[Array, "B ... D"], layers: Layers = Layers(), **options: Any
    ) -> tuple[Float[Array, "B ... _D"], list, Any]:
        """Runs the stream x (B … D) through all blocks, without stem and head: as `apply`, of the stages' own trees."""
        weights = zip(params, state, layers.split([stack.length for stack in self.stacks]), strict=True)
        new_state = []
        seen = []
        first = 0
        for stage in self.stages:
            if not isinstance(stage, Stack):
                x = stage(x)
                continue
            own_params, own_state, own = next(weights)
            x, stack_state, stack_seen = stage.apply(
                own_params, own_state, x, own, first=first, total=self.length, **options
            )
            new_state.append(stack_state)
            seen.append(stack_seen)
            first += stage.length
        return x, new_state, jax.tree.map(lambda *stacks: jnp.concatenate(stacks), *seen) if seen else None

    def widen(self, x: Float[Array, "B ... D"]) -> Float[Array, "B ... D"]:
        """The streams before the first block, from the stem's output."""
        return self.blocks[0].connection.widen(x, self.stacks[0].place(0, self.length)) if self.stacks else x

    def narrow(self, params: dict, x: Float[Array, "B ... D"]) -> Float[Array, "B ... D"]:
        """What the head gets of the streams behind the last block."""
        if not self.stacks:
            return x
        connection, place = self._last
        return connection.apply({"params": params.get(NARROW, {})}, x, place, method="narrow")

    def unrolled(self, params: dict) -> dict:
        """The parameters, of each block apart where blocks share them: for `apply`, and gradients block by block."""
        stages = [stack.unrolled(own) for stack, own in zip(self.stacks, params["stages"], strict=True)]
        return params | {"stages": stages}

    def head_params(self, params: dict) -> dict:
        """The head's parameters, those that it shares with the stem among them."""
        return params["head"] | {SHARED: params["stem"][SHARED]} if self._tied else params["head"]

    @property
    def _tied(self) -> bool:
        return getattr(self.head, "tied", False)

    def _cast(self, x):
        """Inputs in the precision of the network; integers, as tokens are, stay what they are."""
        return x.astype(self.dtype) if self.dtype and jnp.issubdtype(x.dtype, jnp.floating) else x

    def _narrowing(self, key, x):
        """What the last connection learns to narrow streams like x; nothing of most."""
        if not self.stacks:
            return {}
        connection, place = self._last
        return connection.init(key, x, place, method="narrow").get("params", {})

    @property
    def _last(self) -> tuple[Any, Place]:
        return self.blocks[-1].connection, self.stacks[-1].place(self.length + 1, self.length)


def _init(module, key, x):
    y, variables = module.init_with_output(key, x, train=False)
    variables = dict(variables)
    return y, variables.pop("params", {}), variables


def _apply(module, params, state, x, train):
    y, new_state = module.apply({"params": params, **state}, x, train=train, mutable=list(state) if train else [])
    return y, new_state if train else state
