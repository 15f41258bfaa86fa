"""Measures the portal against a floor in the same run: `make bench`. A measurement, not a test: it fails nothing."""
