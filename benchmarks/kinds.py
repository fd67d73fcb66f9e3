"""The kinds of operation that a training step of convolutions is made of."""

from benchmarks.hlo import Operation

KINDS = {
    "convolutions": "forwards",
    "input gradients": "of convolutions",
    "weight gradients": "of convolutions",
    "norms and the like": "norms, activations, and the sums of stream and branch, forwards and backwards",
    "loops": "what a scan takes out of stacked arrays, or puts in",
    "rest": "batch, head, loss, optimiser",
}


def kind(operation: Operation) -> str:
    """The kind of an operation, one of `KINDS`, by what it was traced from."""
    path = operation.path
    backwards = "transpose(" in path
    if "Conv_" in path:
        if not backwards:
            return "convolutions"
        return "input gradients" if operation.opcode == "convolution" else "weight gradients"
    if any(module in path for module in ("Block/", "Transition/", "Stem/")):
        return "norms and the like"
    if operation.opcode in ("while", "copy") or "dynamic" in operation.name or path.endswith("/while"):
        return "loops"
    return "rest"
