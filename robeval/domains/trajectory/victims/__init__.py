"""Trajectory predictors, one per file."""
