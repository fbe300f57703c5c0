"""Text-to-image diffusion models behind one seam; a family of models is one file."""
