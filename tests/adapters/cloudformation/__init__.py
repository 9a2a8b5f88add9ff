"""The templates, deployed on the embedded AWS."""
