"""Where the local platform keeps everything that it makes: one folder, ignored by git."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOCKET_PATH_LIMIT = 100


@dataclass(frozen=True)
class State:
    """The folders below the state directory (`.easel`, or what EASEL_STATE_DIR names)."""

    home: Path

    @property
    def data(self) -> Path:
        """What must survive a restart: databases and pictures."""
        return self.home / "data"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """Generated configuration, pid files, sockets: made anew at each start."""
        return self.home / "run"

    @property
    def triton(self) -> Path:
        """The folder in which Triton runs."""
        return self.run / "triton"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def venvs(self) -> Path:
        return self.home / "venv"

    @property
    def mark(self) -> str:
        """A short name for this checkout's platform, unlike every other's on the machine."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:8]

    @property
    def supervisor_socket(self) -> Path:
        """The process manager's socket; socket paths are limited to about 100 characters."""
        path = self.run / "supervisor.sock"
        if len(str(path)) <= SOCKET_PATH_LIMIT:
            return path
        return Path(tempfile.gettempdir()) / f"easel-{os.getuid()}-{self.mark}.sock"

    def make(self) -> None:
        """Create the folders. Others may pass through (PostgreSQL may run as another account)."""
        for folder in (self.home, self.data, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)


def find_state() -> State:
    """The state of this checkout."""
    given = os.environ.get("EASEL_STATE_DIR", "")
    return State(Path(given).resolve() if given else ROOT / ".easel")
