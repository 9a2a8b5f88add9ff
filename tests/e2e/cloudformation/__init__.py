"""What the templates start on an instance, and the templates before programs that apply or judge them."""
