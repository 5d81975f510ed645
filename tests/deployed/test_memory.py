"""After the whole run, by what the kernel says of the functions' processes."""

import pytest
from world import sam


@pytest.mark.parametrize("function", ["schedule", "fetch", "merge", "access", "api"])
def test_a_function_stayed_below_128_megabytes(world, deployed, function):
    peaks = [peak for pid in world.pids(function) if (peak := high_water(pid))]
    assert peaks, f"no process of {function} lives"
    (sam.OUT / f"memory-{function}.txt").write_text(f"{max(peaks):.1f} MB\n")
    assert max(peaks) < 128


def high_water(pid):
    """The peak of the resident set in MB; None where the process ended meanwhile."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
