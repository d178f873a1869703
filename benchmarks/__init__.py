"""Everything that the README says about speed and size, measured: `python -m benchmarks`."""
