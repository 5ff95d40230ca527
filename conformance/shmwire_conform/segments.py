# SPDX-License-Identifier: MIT
"""Segments of a run: unique names, copies of fixtures, and their removal. Nothing outside this run's names is touched."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path

from . import trees

SHM = Path("/dev/shm")
_counter = itertools.count(1)


class Segments:
    """Hands out locators that no other run uses and removes whatever stands there in the end."""

    def __init__(self, tag: str = "") -> None:
        self.prefix = f"shmw-conf{tag}-{os.getpid()}-"
        base = SHM if SHM.is_dir() and os.access(SHM, os.W_OK) else Path(tempfile.gettempdir())
        self.directory = Path(tempfile.mkdtemp(prefix=self.prefix, dir=base))
        self.posix_ok = base == SHM
        self._prefixes: set[str] = set()  # of the shared memory of directories that were handed out

    def posix(self) -> str:
        """A fresh POSIX name; a path where there is no /dev/shm."""
        if not self.posix_ok:
            return self.path()
        return f"/{self.prefix}{next(_counter)}"

    def channel(self) -> str:
        """A fresh name of a channel: a part of the POSIX names of its segments."""
        return f"{self.prefix}{next(_counter)}."

    def path(self) -> str:
        """A fresh absolute path."""
        return str(self.directory / f"seg-{next(_counter)}")

    def base(self) -> str:
        """A fresh absolute path for a segment that is a directory."""
        path = self.path()
        self._prefixes.add(trees.prefix(Path(path)))
        return path

    def copy_of(self, image: bytes) -> str:
        """A fresh file with these bytes, or a directory with these files, open to its owner only, as a segment would be."""
        if trees.is_tree(image):
            path = self.base()
            trees.place(image, Path(path))
            return path
        path = self.path()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(image)
        return path

    @staticmethod
    def file_of(locator: str) -> Path:
        """The file behind a locator: POSIX names have no second slash and live in /dev/shm."""
        return SHM / locator[1:] if locator.count("/") == 1 else Path(locator)

    @staticmethod
    def beside(locator: str, what: str) -> str:
        """A name next to a segment, for what a run needs besides it; gone with the segment. Behind "_" are a profile's own."""
        return f"{locator}.{what}"

    def remove(self, locator: str) -> None:
        """The segment, and what lies beside it."""
        path = self.file_of(locator)
        if trees.prefix(path) in self._prefixes:
            trees.remove(path)
        for file in [path, *path.parent.glob(f"{path.name}.*"), *path.parent.glob(f"{path.name}_*")]:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()

    def remove_channel(self, name: str) -> None:
        """Every segment in whose POSIX name the name of a channel stands."""
        for file in SHM.glob(f"*{name}*"):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()

    def leftovers(self) -> list[str]:
        """Names with this run's prefix in /dev/shm that nobody removed (this run's directory aside)."""
        if not self.posix_ok:
            return []
        names = [entry.name for entry in SHM.iterdir() if entry != self.directory]
        return sorted(name for name in names if self.prefix in name or name.startswith(tuple(self._prefixes)))

    def clean(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        for name in self.leftovers():
            with contextlib.suppress(FileNotFoundError):
                (SHM / name).unlink()
