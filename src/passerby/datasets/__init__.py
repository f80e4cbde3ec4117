"""Folders of labelled pictures for training: read, check, convert, split, pre-label. Needs no torch.

Nothing in the inference half imports this room.
"""
