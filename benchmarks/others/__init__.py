"""The same networks as others would write them, for `throughput` to compare with."""
