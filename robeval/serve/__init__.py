"""Runs in the browser, from the files that the reports are made from."""
