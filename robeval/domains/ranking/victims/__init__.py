"""Rankers: one per file."""
