"""Trajectory data."""
