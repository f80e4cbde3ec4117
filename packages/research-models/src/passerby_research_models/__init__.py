# SPDX-License-Identifier: Apache-2.0
"""Model files for research only: `catalogue.json` lists them. There is no code; passerby reads the files."""
