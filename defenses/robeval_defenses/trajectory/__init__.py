"""Defenses of trajectory prediction."""
