"""Defenses of the ranking domain: one per file."""
