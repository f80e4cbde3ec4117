"""Model files in and out: the one place that parses weights. Nothing here executes what it reads."""
