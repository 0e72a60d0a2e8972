"""The pages that people see in a browser. For now two: the door, and where checkout leads back to."""
