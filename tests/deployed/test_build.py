"""What `sam build` made: five small files of the same libraries."""

import zipfile
from pathlib import Path

import pytest
from world import sam

FUNCTIONS = ["Schedule", "Fetch", "Merge", "Access", "Api"]
MEGABYTE = 1_000_000
# Zipped. The goal is 6.0, and `Api` is at 6.22 since November 2026: it has to be won back.
MOST = 6.25 * MEGABYTE


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_small(built, function, tmp_path):
    binary = built / function / "bootstrap"
    with zipfile.ZipFile(tmp_path / "it.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(binary, "bootstrap")
    zipped = (tmp_path / "it.zip").stat().st_size
    print(f"{function}: {binary.stat().st_size / MEGABYTE:.1f} MB, zipped {zipped / MEGABYTE:.2f} MB")
    assert [path.name for path in (built / function).iterdir()] == ["bootstrap"]
    assert zipped < MOST


# The other value of the parameter `Architecture`: what Rust calls it, and what the head of its programs says.
OTHER, TRIPLE, MACHINE = {
    "x86_64": ("arm64", "aarch64-unknown-linux-gnu", 183),
    "arm64": ("x86_64", "x86_64-unknown-linux-gnu", 62),
}[sam.ARCHITECTURE]


def test_the_other_architecture_is_built_by_the_same_commands():
    standard = Path(sam.run("rustc", "--print", "target-libdir", "--target", TRIPLE).strip())
    if not list(standard.glob("libstd-*")):
        pytest.skip(f"this machine's Rust has no standard library for {OTHER}: rustup target add {TRIPLE}")
    place = sam.OUT / OTHER
    sam.build(OTHER, place, f"build-{OTHER}")
    for function in FUNCTIONS:
        head = (place / function / "bootstrap").open("rb").read(20)
        assert int.from_bytes(head[18:20], "little") == MACHINE


def test_the_lock_file_is_what_was_built():
    sam.run("cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--no-deps")


def test_the_functions_are_built_of_the_same_libraries():
    """Where they differ in a feature, everything above it is compiled twice."""
    told = {name.lower(): libraries(f"calmesh-{name.lower()}") for name in FUNCTIONS}
    for name, own in told.items():
        differ = {library for library in own.keys() & told["api"].keys() if own[library] != told["api"][library]}
        assert differ == set(), f"{name} and api want other features of {sorted(differ)}: see crates/lambda-kit/Cargo.toml"


def libraries(package):
    """Library to the features that a package brings it."""
    tree = sam.run("cargo", "tree", "--locked", "-p", package, "-e", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "-f", "{p} [{f}]")
    return dict(line.removesuffix(" (*)").rsplit(" [", 1) for line in tree.splitlines() if " [" in line)
