"""What makes a figure suspicious or invalid: one check per file."""
