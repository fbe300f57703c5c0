"""Changes made while drawing, one a file; see `excise.hooks.base` for how to write one."""
