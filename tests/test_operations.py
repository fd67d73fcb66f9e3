"""What a step is made of: FLOPs and bytes against closed forms, and the times between operations by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import hlo, hlo_types, kinds, profiles
from resjax.nn.convolution import convolve


def program(function, *arguments):
    return hlo.operations(jax.jit(function).lower(*arguments).compile().as_text()).values()


def test_the_flops_of_a_product():
    found = program(jnp.dot, jnp.ones((32, 48)), jnp.ones((48, 80)))
    assert max(operation.flops for operation in found) == 2 * 32 * 48 * 80


@pytest.mark.parametrize(("stride", "size"), ((1, 3), (2, 1)))
def test_the_flops_of_a_convolution(stride, size):
    x = jnp.ones((2, 8, 8, 16))
    w = jnp.ones((size, size, 16, 32))
    found = program(lambda x, w: convolve(x, w, stride), x, w)
    assert max(operation.flops for operation in found) == 2 * 2 * (8 // stride) ** 2 * 32 * size**2 * 16
    assert "convolution" in {operation.opcode for operation in found}


def test_the_bytes_of_a_sum():
    found = program(jnp.add, *2 * [jnp.ones((10, 7), "float32")])
    assert max(operation.bytes for operation in found) == 3 * 4 * 10 * 7


SLICES = """
%fused (own: f32[10,70], all: f32[10,70], at: s32[]) -> f32[10,70] {
  %own = f32[10,70]{1,0} parameter(0)
  %all = f32[10,70]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %zero = s32[] constant(0)
  %one = f32[1,70]{1,0} dynamic-slice(%all, %at, %zero), dynamic_slice_sizes={1,70}
  %less = f32[1,70]{1,0} negate(%one)
  ROOT %put = f32[10,70]{1,0} dynamic-update-slice(%own, %less, %at, %zero)
}

ENTRY %main (p: f32[10,70], i: s32[]) -> f32[10,70] {
  %p = f32[10,70]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %taken = f32[1,70]{1,0} dynamic-slice(%p, %i, %i), dynamic_slice_sizes={1,70}
  %written = f32[10,70]{1,0} dynamic-update-slice(%p, %taken, %i, %i)
  %both = f32[10,70]{1,0} fusion(%p, %written, %i), kind=kLoop, calls=%fused
  %sum = f32[10,70]{1,0} add(%p, %both)
  %carried = (s32[], f32[10,70]{1,0}) tuple(%i, %sum)
  ROOT %while = (s32[], f32[10,70]{1,0}) while(%carried), condition=%more, body=%turn
}
"""


@pytest.mark.parametrize(
    ("name", "rows", "indices"),
    (("taken", 2, 1), ("written", 2, 1), ("both", 2, 1), ("sum", 30, 0), ("carried", 0, 0), ("while", 0, 0)),
)
def test_the_bytes_of_slices_are_not_those_of_the_array(name, rows, indices):
    assert hlo.operations(SLICES)[name].bytes == 4 * 70 * rows + 4 * indices


@pytest.mark.parametrize(
    ("shape", "size"),
    (("f32[8,3]{1,0}", 96), ("(bf16[5], /*index=1*/pred[])", 11), ("f8e4m3fn[8]", 8), ("s4[3]", 2), ("c64[2]", 16)),
)
def test_the_bytes_of_types(shape, size):
    assert hlo_types.bytes_of(shape) == size


def test_a_type_whose_size_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"opaque\[2\]"):
        hlo_types.bytes_of("(f32[2], opaque[2])")


WHILE = "jit(train_step)/transpose(jvp())/while"
CONV = "closed_call/Block/branch/branch.conv/Conv_0"


@pytest.mark.parametrize(
    ("path", "opcode", "kind"),
    (
        (f"jit(train_step)/jvp()/while/body/{CONV}/conv_general_dilated", "convolution", "convolutions"),
        (f"{WHILE}/body/{CONV}/conv_general_dilated", "convolution", "input gradients"),
        (f"{WHILE}/body/{CONV}/transpose", "fusion", "input gradients"),  # the mirrored kernel
        (f"{WHILE}/body/{CONV}/towards_w/while/body/closed_call/dot_general", "dot", "weight gradients"),
        (f"{WHILE}/body/{CONV}/towards_w/transpose", "fusion", "weight gradients"),
        (f"{WHILE}/body/{CONV}/add_any", "fusion", "norms and the like"),
        (f"{WHILE}/body/closed_call/Block/after/after.pointwise/select_n", "fusion", "norms and the like"),
        ("jit(train_step)/jvp(Transition)/branch/branch.pointwise/jit(relu)/max", "fusion", "norms and the like"),
        ("jit(train_step)/jvp(ConvStem)/ConvStem.pointwise/jit(relu)/max", "fusion", "norms and the like"),
        (WHILE, "while", "loops"),
        (f"{WHILE}/body/jit(dynamic_index_in_dim)/dynamic_slice", "fusion", "loops"),
        (f"{WHILE}/cond/lt", "fusion", "loops"),
        ("", "copy", "loops"),
        ("jit(train_step)/transpose(jvp(Head))/Head.dense/Dense_0/dot_general", "dot", "rest"),
        ("jit(train_step)/add", "fusion", "rest"),
    ),
)
def test_the_kind_of_an_operation_is_that_of_what_it_was_traced_from(path, opcode, kind):
    assert kinds.kind(hlo.Operation("fusion.1", opcode, path, 0, 0)) == kind


@pytest.mark.parametrize(
    ("name", "caller", "kind"),
    (
        ("aten::mkldnn_convolution", "aten::_convolution", "convolutions"),
        ("aten::convolution_backward", "ConvolutionBackward0", "input gradients"),
        ("aten::native_batch_norm_backward", "NativeBatchNormBackward0", "norms and the like"),
        ("aten::add_", "autograd::engine::evaluate_function: ConvolutionBackward0", "norms and the like"),
        ("aten::add_", "Optimizer.step#SGD.step", "rest"),
        ("aten::addmm", "aten::linear", "rest"),
    ),
)
def test_the_kind_of_an_operation_of_pytorch(name, caller, kind):
    assert kinds.torch_kind(name, [caller]) == kind


def test_an_operation_takes_until_the_next_one_begins():
    events = [("c", 5.0, 9.0), ("a", 0.0, 1.0), ("b", 2.0, 2.5)]  # of several threads, in no order
    assert profiles.extents(events) == [("a", 2.0), ("b", 3.0), ("c", 4.0)]


@pytest.mark.slow
def test_the_rows_of_a_small_resnet(monkeypatch):
    monkeypatch.setattr(profiles, "rates", lambda: (1.0, 1.0))
    monkeypatch.setattr(profiles, "torch_milliseconds", lambda *_: {})
    batch = 2
    forwards = 0
    size = 32
    channels = 3
    for features in (16, 16, 16, 32, 32, 64, 64):  # ResNet-8: a stem, and two in each stage
        size = 32 * 16 // features
        forwards += 2 * batch * size**2 * 9 * channels * features
        channels = features
    with jax.enable_x64(False):
        rows = {row["kind"]: row for row in profiles.rows(profiles.training(8, batch), 8, batch, 1)}
    assert list(rows) == list(kinds.KINDS)
    assert rows["convolutions"]["gigaflops"] == pytest.approx(forwards / 1e9)
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    # towards the weights as many, but for rows of zeros between images; where there is a stride no rows are added
    assert forwards / 1e9 <= rows["weight gradients"]["gigaflops"] < 1.3 * forwards / 1e9
