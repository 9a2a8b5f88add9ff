"""An open request and its record, what is said about it, and what a flow has noted."""
