"""Packaging and deployment, to AWS or to the local stack, and the local stack itself."""
