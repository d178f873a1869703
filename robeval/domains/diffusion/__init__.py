"""Text-to-image diffusion with an erased concept: can a prompt bring it back?"""
