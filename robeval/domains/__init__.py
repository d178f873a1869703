"""The domains: one kind of problem each."""
