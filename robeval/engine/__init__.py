"""From an experiment to finished cells."""
