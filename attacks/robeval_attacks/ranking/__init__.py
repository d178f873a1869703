"""Attacks on neural rankers."""
