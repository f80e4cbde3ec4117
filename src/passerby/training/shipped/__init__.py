"""How the shipped models were made: their photos, teachers, stages. `scripts/train_*.py` drive it.

Users' own data goes through the rooms above; losses, assigners, averages and metrics are shared.
"""
