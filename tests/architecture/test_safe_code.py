"""What no line of the services or libraries does: the dangerous functions of Python."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source_tree import imports, parse, python_files

OURS = ("libs", "services")
EVALUATE = {"eval", "exec", "compile", "__import__"}
UNSAFE_FORMATS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "xml"}
PROGRAMS = {"subprocess", "pty"}
APPROVED_HASHES = {"sha256", "sha512", "sha384", "blake2b"}
# Redis names its scripts by SHA-1; nothing is secured by that.
NAME_OF_A_SCRIPT = ("sha1", "libs/web/rate_limits.py")
UNCHECKED = {("verify", False), ("check_hostname", False), ("verify_signature", False)}


def shipped() -> Iterator[Path]:
    """Sources that run in production."""
    for path in python_files():
        if path.parts[0] in OURS and path.parts[1] != "testkit":
            yield path


def nodes(kind: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for path in shipped():
        for node in ast.walk(parse(path)):
            if isinstance(node, kind):
                yield path, node


def importing(*modules: str) -> list[str]:
    """Sources that import one of the modules, or something of it."""
    return [
        str(path)
        for path in shipped()
        if any(name.split(".")[0] in modules for name in imports(path))
    ]


def test_nothing_evaluates_text() -> None:
    called = {
        f"{path}:{node.lineno}"
        for path, node in nodes(ast.Call)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in EVALUATE
    }
    assert called == set()
    assert importing(*UNSAFE_FORMATS) == []


def test_nothing_starts_programs() -> None:
    assert importing(*PROGRAMS) == []
    assert importing("asyncio") != []  # the question can be answered


def test_randomness_is_never_guessable() -> None:
    """`random` is for what may be guessed, and nothing here may."""
    assert importing("random") == []
    assert importing("secrets") != []


def test_hashes_are_approved() -> None:
    used = {
        (node.attr, str(path))
        for path, node in nodes(ast.Attribute)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "hashlib"
    }
    others = {place for place in used if place[0] not in APPROVED_HASHES}
    assert len(used) > len(others)
    assert others == {NAME_OF_A_SCRIPT}


def test_nothing_switches_verification_off() -> None:
    off = {
        f"{path}:{node.value.lineno}"
        for path, node in nodes(ast.keyword)
        if isinstance(node, ast.keyword)
        and isinstance(node.value, ast.Constant)
        and (node.arg, node.value.value) in UNCHECKED
    }
    assert off == set()
    named = {
        str(path)
        for path, node in nodes(ast.Attribute)
        if isinstance(node, ast.Attribute)
        and node.attr in {"CERT_NONE", "_create_unverified_context"}
    }
    assert named == set()
