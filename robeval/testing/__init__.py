"""The conformance kit, and victims whose worst case is known exactly."""
