"""Text-to-image victims."""
