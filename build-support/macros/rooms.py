"""One line in a BUILD file declares a room: what it owns, what is built from it, who may import whom.

`tests/architecture` checks the same directions file by file; Pants refuses them at `check`, `test`
and `package`.
"""


def _owned(name, resolve, data):
    """Every Python file below this BUILD, and the other files its code reads at run time."""
    dependencies = []
    if data:
        resources(name="data", sources=list(data))
        dependencies = [":data"]
    python_sources(
        name=name,
        resolve=resolve,
        sources=["**/*.py"],
        dependencies=dependencies,
    )


def library(*below, data=()):
    """A library: imports third-party code and the lower libraries named here, never a service."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", ["//libs/%s/**" % name for name in below], "!*"),
    )
    __dependents_rules__(
        ("*", "//libs/**", "//services/**", "//dev/**", "//bench/**", "//sim/**", "//tests/**", "!*"),
    )
    _owned("lib", "services", data)


def testkit(*below, data=()):
    """The library of fixtures: real parts for tests, and for nothing else."""
    __dependencies_rules__(
        (
            "*",
            "/**",
            "//3rdparty/**",
            "//dev/parts/**",
            ["//libs/%s/**" % name for name in below],
            "!*",
        ),
    )
    __dependents_rules__(("*", "/**", "//tests/**", "!*"))
    _owned("lib", "services", data)


def service(name, data=(), programs=("app",)):
    """A service: its sources, and for each program (app.py, worker.py ...) an executable PEX
    `services/<name>.pex` and, where Docker runs, an image. Other services see its `client/` alone."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", "//libs/**", "//services/*/client/**", "!*"),
    )
    __dependents_rules__(
        ("/client/**", "/**", "//services/**", "//dev/**", "//bench/**", "//tests/**", "!*"),
        ("*", "/**", "//dev/**", "//bench/**", "//tests/**", "!*"),
    )
    _owned("lib", "services", data)
    for module in programs:
        _program(name if module == "app" else "%s-%s" % (name, module), module)


def _program(name, module):
    """`services/<name>.pex`, and the same program in two layers for its image: requirements change
    with the lock alone. Both layers unpack to one path, since the scripts in it name it."""
    pex = dict(
        entry_point="%s.py" % module,
        resolve="services",
        execution_mode="venv",
        include_tools=True,
    )
    output = "services/%s" % name
    pex_binary(name=name, output_path=output + ".pex", tags=["program"], **pex)
    pex_binary(
        name=name + "-deps",
        layout="packed",
        include_sources=False,
        output_path=output + "-deps.pex",
        tags=["layer"],
        **pex
    )
    pex_binary(
        name=name + "-srcs",
        layout="packed",
        include_requirements=False,
        output_path=output + "-srcs.pex",
        tags=["layer"],
        **pex
    )
    docker_image(
        name=name + "-image",
        repository="easel/" + name,
        image_tags=["dev"],
        dependencies=[":%s-deps" % name, ":%s-srcs" % name],
        instructions=[
            "FROM python:3.11-slim AS deps",
            "COPY %s-deps.pex /deps.pex" % output,
            "RUN PEX_TOOLS=1 python3.11 /deps.pex venv --scope=deps --compile /app",
            "FROM python:3.11-slim AS srcs",
            "COPY %s-srcs.pex /srcs.pex" % output,
            "RUN PEX_TOOLS=1 python3.11 /srcs.pex venv --scope=srcs --compile /app",
            "FROM python:3.11-slim",
            "RUN useradd --system --uid 10001 easel",
            "USER 10001",
            "COPY --from=deps /app /app",
            "COPY --from=srcs /app /app",
            'ENTRYPOINT ["/app/pex"]',
        ],
        tags=["layer"],
    )


def inference_room(*below, data=()):
    """Code that runs inside Triton or trains models: third-party imports and the rooms named here."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", ["//inference/%s/**" % name for name in below], "!*"),
    )
    __dependents_rules__(("*", "//inference/**", "//tests/**", "!*"))
    _owned("lib", "inference", data)


def leaf(data=()):
    """Programs on top of the house (`bench`): they may import it, nobody imports them."""
    __dependencies_rules__(("*", "*"))
    __dependents_rules__(("*", "/**", "//tests/**", "!*"))
    _owned("lib", "services", data)


def local_platform(data=()):
    """`dev/`: a leaf whose `parts/` know how to start each real part, which the testkit uses too."""
    __dependencies_rules__(
        ("/parts/**", "/parts/**", "!*"),
        ("*", "/**", "//3rdparty/**", "//libs/**", "//services/**", "!*"),
    )
    __dependents_rules__(
        ("/parts/**", "/**", "//libs/testkit/**", "//bench/**", "//tests/**", "!*"),
        ("*", "/**", "//bench/**", "//tests/**", "!*"),
    )
    _owned("lib", "services", data)


def tests(tags=(), resolve="services", timeout=60, data=(), dependencies=()):
    """The tests of one room and what they share (`conftest.py`, modules without `test_`).

    Tag `servers`: they start real parts; one pytest process runs the whole room, so that the parts
    start once. Tag `platform`: they need Triton or the whole local platform.
    """
    __dependents_rules__(("*", "//tests/**", "!*"))
    real = "servers" in tags or "platform" in tags
    needs = list(dependencies)
    if data:
        resources(name="data", sources=list(data))
        needs.append(":data")
    python_tests(
        name="tests",
        sources=["**/test_*.py"],
        resolve=resolve,
        tags=list(tags),
        timeout=max(timeout, 300 if real else 0),
        batch_compatibility_tag=str(build_file_dir()) if real else None,
        dependencies=needs,
    )
    python_test_utils(
        name="shared",
        sources=["**/*.py", "!**/test_*.py"],
        resolve=resolve,
    )
