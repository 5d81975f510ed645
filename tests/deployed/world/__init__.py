"""What surrounds the deployed stack in its tests: the emulator, the way between the functions and AWS, feeds, clients."""
