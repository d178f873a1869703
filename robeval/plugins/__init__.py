"""What can stand in each place of the line, and how it is found."""
