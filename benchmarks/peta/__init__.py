# SPDX-License-Identifier: Apache-2.0
"""PETA as papers evaluate it, to compare our training with published figures: 35 attributes, two kinds of split.

    python -m benchmarks.peta convert "…/PETA dataset" DATA --split published --mat PETA.mat
    passerby train DATA -c benchmarks/peta/pplcnet_x1_0.yaml --output RUN
    python -m benchmarks.peta evaluate RUN/best_model/inference DATA

`splits` says who is in train, val and test, `convert` writes a folder that training reads, `evaluate` prints what
papers print. docs/research-models.md has the rules and the figures. PETA may be used for research only: neither its
pictures nor weights that learnt from them go into the package `passerby`.
"""
