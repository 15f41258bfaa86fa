"""What the web server reads before it starts its processes."""

from gunicorn.http.unreader import SocketUnreader

# As much as an upload takes at once (deployments.uploads.PIECE). By itself gunicorn takes 1 MiB and copies what is
# left of it with each piece that is asked for: a 1 GiB upload costs four times as much then (make bench).
SocketUnreader.max_body_chunk = 512 * 1024
# Imported once, not by each process: the web server is ready sooner and its processes share that memory
preload_app = True
