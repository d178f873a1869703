"""Optimisers over a perturbation, shared by attacks."""
