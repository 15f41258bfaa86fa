"""Works on an environment's data inside its sandbox, as the environment's own user: nothing of it is trusted outside.

Its sources, of the standard library alone, are handed to the sandbox's own Python (`deployments.runtimes.helping`).
What there is to say is one line of JSON at the end of standard error: `facts`, or `refused` with a sentence.
"""

import errno
import io
import json
import os
import sqlite3
import sys
from typing import Any

from deployments.runtimes.inside.saving import Walk, copy_database
from deployments.runtimes.inside.server import dump
from deployments.runtimes.inside.staging import Stage
from deployments.runtimes.inside.words import OWN, PIECE, Refused, shown

NO_ROOM: dict[str, Any] = {"refused": "There is not enough room on the disk.", "full": True}


def act(what: str, options: dict[str, Any]) -> dict[str, Any]:
    data = os.environ["DATA_DIR"]
    if what == "database":
        copy_database(data, options["scratch"])
        return {}
    if what == "dump":
        dump()
        return {}
    if what == "files":
        walk = Walk(own=() if options["server"] else OWN)
        walk.run(data)
        return {"count": walk.count, "left_out": walk.left_out}
    stage = Stage(data, options["most_bytes"], options["most_entries"], options["reserve"], options["server"])
    stage.run(io.BufferedReader(io.FileIO(0, closefd=False), PIECE))
    stage.finish()
    facts = {"database": stage.database, "files": stage.has_files, "count": stage.count, "size": stage.size}
    if options["onto"]:
        stage.complete_from(options["onto"])
    return facts


def main() -> int:
    try:
        said: dict[str, Any] = {"facts": act(sys.argv[1], json.loads(sys.argv[2]))}
    except Refused as refusal:
        said = {"refused": str(refusal)}
    except sqlite3.Error as error:
        said = (
            NO_ROOM
            if "disk is full" in str(error)
            else {"refused": f"The database can't be read: {shown(str(error))}."}
        )
    except MemoryError:
        said = {"refused": "The data need more memory than there is to look through them."}
    except OSError as error:
        said = NO_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else {"refused": f"{error.strerror}."}
        if error.errno == errno.EFBIG:
            said = {"refused": "A file is larger than an app may write."}
    print("\n" + json.dumps(said), file=sys.stderr, flush=True)
    return 0 if "facts" in said else 3
