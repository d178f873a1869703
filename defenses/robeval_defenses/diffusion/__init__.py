"""Defenses of text-to-image models against the return of an erased concept."""
