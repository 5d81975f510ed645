"""The commands that a user deploys with, and nothing else: `sam build`, `sam deploy`, `sam delete`."""

import os
import platform
import re
import subprocess
from pathlib import Path

from world.emulator import ROOT

HOME = Path(__file__).resolve().parents[3]
TOOLS = Path(os.environ.get("CALMESH_TOOLS", HOME / "target/tools"))
OUT = HOME / "target/deployed"
# The emulator runs what this machine runs.
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
BUILT = HOME / ".aws-sam/build"


def run(*command, endpoint=None, timeout=600, name=None):
    """Runs a command in the root of the repository; its output goes to a file, and into the failure."""
    environment = {**os.environ, **ROOT, "SAM_CLI_TELEMETRY": "0", "PATH": f"{TOOLS / 'sam/bin'}:{os.environ['PATH']}"}
    if endpoint:
        environment["AWS_ENDPOINT_URL"] = endpoint
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, timeout=timeout)
    told = done.stdout + done.stderr
    if name:
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{name}.log").write_text(told)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{told[-6000:]}"
    return told


def build(architecture=ARCHITECTURE, place=BUILT, name="build"):
    told = f"Architecture={architecture}"
    return run("sam", "build", "--config-env", "dev", "--build-dir", str(place), "--parameter-overrides", told, timeout=3600, name=name)


def deploy(endpoint, stack, stage="dev", template=None, name="deploy", **parameters):
    """`template`: instead of the one that was built."""
    parameters = {"Stage": stage, "Architecture": ARCHITECTURE, **parameters}
    command = ["sam", "deploy", "--config-env", stage, "--stack-name", stack, "--no-progressbar", "--no-confirm-changeset"]
    if template:
        # SAM CLI looks for its configuration beside the template.
        command += ["--template-file", str(template), "--config-file", str(HOME / "samconfig.toml")]
    told = [f"{key}={value}" for key, value in parameters.items()]
    return run(*command, "--parameter-overrides", *told, endpoint=endpoint, name=name)


def delete(endpoint, stack, name="delete"):
    return run("sam", "delete", "--stack-name", stack, "--no-prompts", "--region", ROOT["AWS_REGION"], endpoint=endpoint, name=name)


def previous_template():
    """The template before its last change, over the artifacts of now. None where history does not reach so far."""
    path = "infra/template.yaml"

    def git(*words):
        done = subprocess.run(["git", *words], cwd=HOME, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    now = (HOME / path).read_text()
    for commit in git("log", "--format=%H", "-20", "--", path).split():
        before = git("show", f"{commit}:{path}")
        if before and before != now:
            functions = {folder.name.lower(): folder for folder in BUILT.iterdir() if folder.is_dir()}
            before = re.sub(r"\.\./functions/(\w+)", lambda found: str(functions[found[1]]), before)
            OUT.mkdir(parents=True, exist_ok=True)
            (OUT / "previous.yaml").write_text(before)
            return OUT / "previous.yaml"
    return None
