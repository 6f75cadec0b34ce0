"""Scripts that the Python of layer0 runs while layer0 is built; they import nothing of the head."""
