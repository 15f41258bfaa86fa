"""What the web server reads before it starts its processes."""

from gunicorn.http import parser
from gunicorn.http.unreader import SocketUnreader

# As much as an upload takes at once (deployments.uploads.PIECE). By itself gunicorn takes 1 MiB and copies what is
# left of it with each piece that is asked for: a 1 GiB upload costs four times as much then (make bench).
SocketUnreader.max_body_chunk = 512 * 1024

# What is read and dropped of a body that was refused unread, for 5 s at most. By itself gunicorn hangs up after 64 KiB:
# a client that sends on sees a broken pipe instead of the answer, and behind Caddy now and then a 502.
parser._DRAIN_MAX_BYTES = 16 * 1024 * 1024

# Imported once, not by each process: the web server is ready sooner and its processes share that memory
preload_app = True
