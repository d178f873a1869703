"""Published methods in the style that they are published in: the slow side of a comparison, our own code."""
