"""What the service knows of the symbols: taken from layers, and looked up."""
