"""The regression gate: a baseline of figures, and whether a later run falls below it."""
