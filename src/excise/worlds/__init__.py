"""What a model was trained on, where that can be rendered anew; one a file, imported by nothing."""
