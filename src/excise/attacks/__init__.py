"""Searches for an input that brings a concept back; one a file, found by `excise.registry`."""
