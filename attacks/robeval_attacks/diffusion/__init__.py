"""Attacks that try to bring an erased concept back into a text-to-image model's pictures."""
