"""One line in a BUILD file declares a room: what it owns, what is built of it, who may import whom.

`tests/architecture` checks the same directions file by file; Pants refuses them at `check`, `test`
and `package`.
"""


def _owned(resolve, data=(), migrations=(), elsewhere=(), needs=()):
    """Every Python file below this BUILD, and the other files its code reads at run time. Files of
    `elsewhere` belong to another target. No import shows what it `needs`.

    Migrations are apart: no import shows them, and whoever runs them names them."""
    if data:
        resources(name="data", sources=list(data))
    python_sources(
        name="lib",
        resolve=resolve,
        sources=["**/*.py", "!migrations/**"] + ["!" + path for path in elsewhere],
        dependencies=([":data"] if data else []) + list(needs),
    )
    statements = ["migrations/" + name for name in migrations if name.endswith(".sql")]
    if statements:
        resources(name="statements", sources=statements)
    if migrations:
        python_sources(
            name="migrations",
            resolve=resolve,
            sources=["migrations/*.py"],
            dependencies=[":statements"] if statements else [],
        )


def library(*below, data=(), migrations=()):
    """A library: imports third-party code and the lower libraries named here, never a service."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", ["//libs/%s/**" % name for name in below], "!*"),
    )
    __dependents_rules__(
        (
            "*",
            ["//%s/**" % top for top in ("libs", "services", "dev", "bench", "sim", "tests")],
            "!*",
        ),
    )
    _owned("services", data, migrations)


def testkit(*below, histories=()):
    """The library of fixtures: real parts for tests, and for nothing else.

    `histories`: the rooms whose migrations make its databases."""
    __dependencies_rules__(
        (
            "*",
            "/**",
            "//3rdparty/**",
            "//dev/parts/**",
            "[:migrations]",
            ["//libs/%s/**" % name for name in below],
            "!*",
        ),
    )
    __dependents_rules__(("*", "/**", "//tests/**", "!*"))
    python_sources(
        name="lib",
        resolve="services",
        sources=["**/*.py"],
        dependencies=["%s:migrations" % folder for folder in histories],
    )


def service(name, data=(), migrations=("*.py",), programs=("app",)):
    """A service: its sources, and for each program (app.py, worker.py ...) an executable PEX
    `services/<name>.pex` and, where Docker runs, an image. Other services see `client/` alone."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", "//libs/**", "//services/*/client/**", "!*"),
    )
    __dependents_rules__(
        ("/client/**", "/**", "//services/**", "//dev/**", "//bench/**", "//tests/**", "!*"),
        ("[:migrations]", "/**", "//libs/testkit/**", "//dev/**", "//tests/**", "!*"),
        ("*", "/**", "//dev/**", "//bench/**", "//tests/**", "!*"),
    )
    _owned("services", data, migrations)
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


def inference_room(*below, data=(), packages=()):
    """Code that runs in Triton or trains models: third-party imports and the rooms named here.

    `packages` are what a library that is imported imports when it is used."""
    __dependencies_rules__(
        ("*", "/**", "//3rdparty/**", ["//inference/%s/**" % name for name in below], "!*"),
    )
    __dependents_rules__(("*", "//inference/**", "//bench/**", "//tests/**", "!*"))
    _owned("inference", data, needs=["//3rdparty/python:inference#" + name for name in packages])


def leaf(data=(), inference=(), everywhere=()):
    """Programs on top of the house (`bench`, `sim`): they may import it; benchmarks and tests alone
    import them.

    `inference`: files that run in the inference environment; `everywhere`: those of either."""
    __dependencies_rules__(("*", "*"))
    __dependents_rules__(("*", "/**", "//bench/**", "//tests/**", "!*"))
    _owned("services", data, elsewhere=inference)
    if inference:
        python_sources(
            name="inference",
            resolve="inference",
            sources=list(inference) + list(everywhere),
        )


def local_platform(data=()):
    """`dev/`: a leaf whose `parts/` know how to start each real part, as the testkit does."""
    __dependencies_rules__(
        ("/parts/**", "/**", "!*"),
        ("*", "/**", "//3rdparty/**", "//libs/**", "//services/**", "!*"),
    )
    __dependents_rules__(
        ("/parts/**", "/**", "//libs/testkit/**", "//bench/**", "//tests/**", "!*"),
        ("*", "/**", "//bench/**", "//tests/**", "!*"),
    )
    _owned("services", data)


def fixtures(*dependencies, resolve="services"):
    """What all tests below share: this folder's own modules, and plugins that a `conftest.py` names
    as text, where no import shows them."""
    __dependents_rules__(("*", "//tests/**", "!*"))
    python_test_utils(
        name="fixtures",
        sources=["*.py", "!test_*.py"],
        resolve=resolve,
        dependencies=list(dependencies),
    )


def tests(
    servers=(),
    platform=(),
    resolve="services",
    timeout=60,
    data=(),
    dependencies=(),
    programs=(),
    below=True,
    batch=False,
):
    """The tests of one room and what they share (`conftest.py`, modules without `test_`).

    `servers`: files whose tests start real parts; one pytest process runs them all, so that the
    parts start once. `platform`: files that need Triton or the whole local platform; what these
    start reads the repository's files, so such a room depends on `//:tree` or `//:triton`.
    `below=False`: the folders below have BUILD files of their own.
    `batch`: one pytest process runs the files that need no real parts, because imports are dear.
    `programs`: executables that the tests start, built for them.
    """
    __dependents_rules__(("*", "//tests/**", "!*"))
    needs = list(dependencies)
    if data:
        resources(name="data", sources=list(data))
        needs.append(":data")
    deep = "**/" if below else ""
    every = deep + "test_*.py"
    special = list(servers) + list(platform)
    common = dict(
        resolve=resolve,
        dependencies=needs,
        runtime_package_dependencies=list(programs),
        # as many torch processes as cores: each takes one
        extra_env_vars=["OMP_NUM_THREADS=1"] if resolve == "inference" else [],
    )
    if every not in special:
        python_tests(
            name="tests",
            sources=[every] + ["!" + path for path in special],
            timeout=timeout,
            batch_compatibility_tag="tests of %s" % build_file_dir() if batch else None,
            **common
        )
    for tag, paths in (("servers", servers), ("platform", platform)):
        if paths:
            python_tests(
                name=tag,
                sources=list(paths),
                tags=[tag],
                timeout=max(timeout, 300 if tag == "servers" else 600),
                batch_compatibility_tag="%s of %s" % (tag, build_file_dir()),
                **common
            )
    python_test_utils(name="shared", sources=[deep + "*.py", "!" + every], resolve=resolve)
