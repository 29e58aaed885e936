"""An S3 endpoint that keeps its objects as files and verifies signatures (rclone serve s3)."""

from pathlib import Path

from dev.parts.program import LOOPBACK, Program, answers_http, find_binary

# rclone reads the variable as CSV, and process managers drop outer quotes: set them here.
# An argument would show the secret to everybody who lists processes.
WITH_KEY = 'RCLONE_AUTH_KEY="\\"$S3_KEY_PAIR\\"" exec "$@"'


def s3(
    python: str, port: int, data: Path, access_key_id: str, secret_access_key: str, bucket: str
) -> Program:
    """The endpoint on `port` over the folder `data`; `bucket` exists when it starts.

    Every folder directly below `data` is a bucket. Presigned URLs are verified, expiry included.
    """
    binary = find_binary("rclone", python, variable="EASEL_RCLONE")
    (data / bucket).mkdir(parents=True, exist_ok=True)
    return Program(
        name="s3",
        argv=[
            *("sh", "-c", WITH_KEY, "s3"),
            *(str(binary), "serve", "s3", str(data)),
            *("--addr", f"{LOOPBACK}:{port}"),
            *("--config", "/dev/null"),
            # Objects are read from the folder itself: no second copy in a cache.
            *("--vfs-cache-mode", "off"),
        ],
        env={"S3_KEY_PAIR": f"{access_key_id},{secret_access_key}"},
        ports=[port],
        ready=lambda: answers_http(f"http://{LOOPBACK}:{port}/", range(200, 500)),
    )
