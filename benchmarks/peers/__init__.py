"""Other implementations of the same computations, which the benchmarks compare with."""
