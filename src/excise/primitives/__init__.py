"""What methods and attacks are composed of: inversion, fine-tuning, closed forms, saliency, ..."""
