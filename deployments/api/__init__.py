"""The Deploy API, version 1: for CI systems, with the calls, answers and errors that their clients know.

Calls route and answer only; what changes something goes through the flows that the pages use.
"""
