"""The same networks as others would write them, which the benchmarks compare with."""
