"""The attribute network: its task, what it learns from, and how good it is."""
