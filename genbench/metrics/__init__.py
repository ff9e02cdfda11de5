"""What a trained model's images are worth: pure functions from images or features to numbers with their errors."""
