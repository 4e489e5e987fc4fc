"""Objects as files, where a reader wants files."""

from pathlib import Path

from pipelines.storage.protocol import ObjectStore


class Mirror:
    """Brings objects to the same keys in `folder`, each once; for objects that are not written meanwhile."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        self._objects, self.folder = objects, folder

    def fetch(self, key: str) -> Path:
        """Return the file of an object; raises NoSuchObject."""
        path = self.folder / key
        if not path.is_file():
            self._objects.download(key, path)
        return path
