"""What a run leaves behind: records, journal, store."""
