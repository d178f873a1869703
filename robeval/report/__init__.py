"""One summary, many faces."""
