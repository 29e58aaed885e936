"""No committed line names a package registry or a folder of somebody's machine."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source_tree import ROOMS, ROOT, files_below

TOPS = (*ROOMS, "3rdparty", "build-support", "deploy", "docs", "tools", ".ci", ".github")
TOP_FILES = ("BUILD", "easel", "*.md", "*.toml", "*.yaml")
# Spelled in pieces, so that this file does not name them.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "python" + "hosted", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("download", "pytorch", "org"),
    )
]
FOLDERS = ("work", "root", "home", "Users", "opt")
# Folders inside published container images.
CONTAINER_FOLDERS = ("/opt/tritonserver",)
PLACE = re.compile(rf"(?<![\w.~$}}/-])/(?:{'|'.join(FOLDERS)})/[\w.-]*")


def committed_texts() -> Iterator[tuple[Path, str]]:
    tops = [path.relative_to(ROOT) for pattern in TOP_FILES for path in ROOT.glob(pattern)]
    for path in [*files_below(*TOPS), *tops]:
        try:
            yield path, (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue


def test_no_line_names_a_registry() -> None:
    found = [
        f"{path}: {host}" for path, text in committed_texts() for host in HOSTS if host in text
    ]
    assert found == []


def test_no_line_names_a_folder_of_a_machine() -> None:
    found = [
        f"{path}: {match}"
        for path, text in committed_texts()
        for match in PLACE.findall(text)
        if match not in CONTAINER_FOLDERS
    ]
    assert found == []


def test_the_pattern_knows_a_machine_folder() -> None:
    assert PLACE.findall("see " + "/".join(("", "home", "me", "easel"))) != []
    assert PLACE.findall("GET " + "/".join(("", "api", "v1", "work", "item"))) == []
