"""Datasets of prompts for text-to-image models."""
