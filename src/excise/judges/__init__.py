"""Judges say whether a picture shows a concept; one a file."""
