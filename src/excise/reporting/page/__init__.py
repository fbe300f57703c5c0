"""The page as values: what stands on it, apart from how it looks."""
