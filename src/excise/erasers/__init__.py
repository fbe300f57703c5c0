"""Methods that take a concept out of a model, one a file; `excise.registry` finds them by name."""
