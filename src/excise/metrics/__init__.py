"""Metrics say what an edit kept, and what it did besides; one a file."""
