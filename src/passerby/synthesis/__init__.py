"""Rendered pedestrians: people who do not exist, dressed, posed and ready for any renderer.

`figure` shapes and poses a body, `clothing` dresses it, `accessories` gives it things to carry. All of it is
numpy: no renderer is imported here. Lengths are decimetres, y up, a figure faces +z and its left is +x, as in
the MakeHuman assets (CC0) these modules read.
"""
