"""The same experiments on a TPU slice, on a cluster, on many machines: see docs/machines.md."""
