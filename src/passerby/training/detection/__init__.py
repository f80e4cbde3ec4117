"""The detector: its task, what it learns from, and how good it is."""
