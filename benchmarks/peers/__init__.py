"""What the benchmarks compare with: the same computation by other means."""
