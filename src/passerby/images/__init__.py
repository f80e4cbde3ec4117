"""One module a picture format: a walk over its headers that judges the file before any decoder sees it.

`decode.py` is the only caller; it chooses the walk by the first bytes.
"""
