"""Datasets of queries and passages."""
