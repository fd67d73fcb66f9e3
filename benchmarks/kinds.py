"""The kinds of operation that a training step of convolutions is made of."""

from collections.abc import Iterable

from benchmarks.hlo import Operation

KINDS = {
    "convolutions": "forwards",
    "input gradients": "of convolutions",
    "weight gradients": "of convolutions",
    "norms and the like": "norms, activations, and the sums of stream and branch, forwards and backwards",
    "loops": "what a scan takes out of stacked arrays, or puts in",
    "rest": "batch, head, loss, optimiser",
}


CONVOLUTION = "Conv_"  # the module, in the path of what is traced from it
MODULES = "Block", "Transition", "Stem"
TORCH = {  # by parts of the names of PyTorch's operations, of which the first that fits counts
    "convolution_backward": "input gradients",
    "convolution": "convolutions",
} | dict.fromkeys(["batch_norm", "relu", "clamp", "threshold", "pad"], "norms and the like")
SUMS = "aten::add", "aten::add_"  # of stream and branch forwards, and of their gradients; aten::addmm is the head
OPTIMIZER = "Optimizer."


def kind(operation: Operation) -> str:
    """The kind of an operation, one of `KINDS`, by what it was traced from."""
    path = operation.path
    if CONVOLUTION in path and not path.endswith("/add_any"):  # which sums the gradients of stream and branch
        if "transpose(" not in path:
            return "convolutions"
        return "weight gradients" if "towards_w" in path else "input gradients"
    if any(module in path for module in MODULES):
        return "norms and the like"
    if operation.opcode in ("while", "copy") or "dynamic" in operation.name or "/while" in path:
        return "loops"
    return "rest"


def torch_kind(name: str, callers: Iterable[str]) -> str:
    """The kind of an operation of PyTorch, by its name and the names of all that it was called by."""
    if any(caller.startswith(OPTIMIZER) for caller in callers):
        return "rest"
    if name in SUMS:
        return "norms and the like"
    return next((own for part, own in TORCH.items() if part in name), "rest")
