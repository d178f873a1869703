"""One benchmark per file: a function that measures and returns `Measured`."""
