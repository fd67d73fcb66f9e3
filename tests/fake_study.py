"""An experiment for the tests of `launch`: it checks its flags; run, it goes on until there is a file `go`, and saves.

In $DIARY it notes what happens to it, a line each: started, saved, done.
"""

import os
import pathlib
import signal
import sys
import time

from resjax.system.errors import UserError


class Study:
    def check(self, flags: list[str]) -> None:
        for flag in flags:
            if not flag.startswith(("--depths=", "--block=")) or flag == "--depths=3":
                raise UserError(f"{flag}: is refused by the experiment")


STUDY = Study()


def note(what: str) -> None:
    with open(pathlib.Path(os.environ["DIARY"]), "a") as diary:
        diary.write(f"{what}\n")


def save(number, frame):
    note("saved")
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, save)
    note("started")
    while not pathlib.Path(os.environ["DIARY"]).with_name("go").exists():
        time.sleep(0.02)
    note("done")
