"""The audit: what a figure must survive before it is worth quoting. One check per file."""
