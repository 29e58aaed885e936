"""ruff >= 0.5 for Pants 2.17: `ruff check` as a linter and fixer, `ruff format` as a formatter.

The backend that ships with Pants 2.17 calls `ruff --fix FILES`, a command line that current ruff
rejects, and has no formatter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pants.backend.python.lint.ruff import skip_field, subsystem
from pants.backend.python.lint.ruff.subsystem import Ruff, RuffFieldSet
from pants.backend.python.util_rules import pex
from pants.backend.python.util_rules.pex import PexRequest, VenvPex, VenvPexProcess
from pants.core.goals.fix import FixResult, FixTargetsRequest
from pants.core.goals.fmt import FmtResult, FmtTargetsRequest
from pants.core.goals.lint import LintResult, LintTargetsRequest
from pants.core.util_rules.config_files import ConfigFiles, ConfigFilesRequest
from pants.core.util_rules.partitions import PartitionerType
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.fs import Digest, MergeDigests
from pants.engine.internals.native_engine import Snapshot
from pants.engine.process import FallibleProcessResult
from pants.engine.rules import Get, MultiGet, collect_rules, rule
from pants.util.logging import LogLevel
from pants.util.meta import classproperty
from pants.util.strutil import pluralize


class RuffCheckFixRequest(FixTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff check --fix"


class RuffCheckRequest(LintTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff check"


class RuffFormatRequest(FmtTargetsRequest):
    field_set_type = RuffFieldSet
    tool_subsystem = Ruff
    partitioner_type = PartitionerType.DEFAULT_SINGLE_PARTITION

    @classproperty
    def tool_name(cls) -> str:
        return "ruff format"


async def _run(ruff: Ruff, snapshot: Snapshot, *subcommand: str) -> FallibleProcessResult:
    ruff_pex, config = await MultiGet(
        Get(VenvPex, PexRequest, ruff.to_pex_request()),
        Get(ConfigFiles, ConfigFilesRequest, ruff.config_request(snapshot.dirs)),
    )
    digest = await Get(Digest, MergeDigests((snapshot.digest, config.snapshot.digest)))
    conf: Iterable[str] = [f"--config={ruff.config}"] if ruff.config else []
    return await Get(
        FallibleProcessResult,
        VenvPexProcess(
            ruff_pex,
            argv=(*subcommand, "--no-cache", *conf, *ruff.args, *snapshot.files),
            input_digest=digest,
            output_files=snapshot.files,
            description=f"ruff {' '.join(subcommand)}: {pluralize(len(snapshot.files), 'file')}",
            level=LogLevel.DEBUG,
        ),
    )


@rule(desc="Fix with ruff", level=LogLevel.DEBUG)
async def ruff_check_fix(request: RuffCheckFixRequest.Batch, ruff: Ruff) -> FixResult:
    # --exit-zero: what cannot be fixed is the linter's business; a broken command line still fails.
    result = await _run(ruff, request.snapshot, "check", "--fix", "--exit-zero")
    if result.exit_code:
        raise RuntimeError(result.stderr.decode())
    return await FixResult.create(request, result, strip_chroot_path=True)


@rule(desc="Lint with ruff", level=LogLevel.DEBUG)
async def ruff_check(request: RuffCheckRequest.Batch[RuffFieldSet, Any], ruff: Ruff) -> LintResult:
    sources = await Get(SourceFiles, SourceFilesRequest(fs.source for fs in request.elements))
    result = await _run(ruff, sources.snapshot, "check")
    return LintResult.create(request, result, strip_chroot_path=True)


@rule(desc="Format with ruff", level=LogLevel.DEBUG)
async def ruff_format(request: RuffFormatRequest.Batch, ruff: Ruff) -> FmtResult:
    result = await _run(ruff, request.snapshot, "format")
    if result.exit_code:
        raise RuntimeError(result.stderr.decode())
    return await FmtResult.create(request, result, strip_chroot_path=True)


def rules() -> Iterable[Any]:
    return (
        *collect_rules(),
        *RuffCheckFixRequest.rules(),
        *RuffCheckRequest.rules(),
        *RuffFormatRequest.rules(),
        *pex.rules(),
        *skip_field.rules(),
        *subsystem.rules(),
    )
