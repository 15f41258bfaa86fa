"""Ends at once, as an app does that lacks something it needs."""

import sys

print("Reading the settings.", flush=True)
print("The price list is missing, so the app can't start.", file=sys.stderr, flush=True)
sys.exit(3)
