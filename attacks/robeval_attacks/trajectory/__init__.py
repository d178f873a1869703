"""Attacks on trajectory prediction."""
