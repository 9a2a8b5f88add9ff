"""The wheel, the images, compose.yaml."""
