"""python-tuf as a judge of a bundle's head: judge.py HEAD FINGERPRINT STATE

HEAD is a folder with the members of a head: metadata/*.json, release.json. FINGERPRINT is the sha256 of root 1, which
TUF leaves to others to compare. STATE is what the client remembers from one call to the next; it may be empty.
Prints `accept`, or `refuse` and why. Exit code 0 either way: another one says that the judge itself failed.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from securesystemslib.exceptions import Error as SecuresystemslibError
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater


class Head(FetcherInterface):
    """Serves the folder of a head as if it were a repository. A member that is not there is a 404."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        file = self.folder / urlsplit(url).path.lstrip("/")
        if not file.is_file():
            raise DownloadHTTPError(f"{file.name} is not in the bundle", 404)
        yield file.read_bytes()


def judge(head: Path, fingerprint: str, state: Path) -> str:
    root = (head / "metadata/1.root.json").read_bytes()
    if hashlib.sha256(root).hexdigest() != fingerprint:
        return "refuse: root 1 is not the one on paper"
    targets = state / "targets"
    targets.mkdir(parents=True, exist_ok=True)
    try:
        updater = Updater(
            metadata_dir=str(state),
            metadata_base_url="head:///metadata/",
            target_dir=str(targets),
            target_base_url="head:///",
            fetcher=Head(head),
            bootstrap=root,
        )
        updater.refresh()
        release = updater.get_targetinfo("release.json")
        if release is None:
            return "refuse: the approvers signed no release.json"
        updater.download_target(release)
    except (RepositoryError, DownloadError, SecuresystemslibError) as error:
        return f"refuse: {type(error).__name__}: {error}"
    return "accept"


if __name__ == "__main__":
    print(judge(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
