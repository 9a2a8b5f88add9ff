"""What the worker needs from outside, in our words: small protocols, and the facts they hand over."""
