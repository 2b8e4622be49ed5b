"""The small checkpoint of the tests' base directory, loaded once."""

import pytest


@pytest.fixture(scope="session")
def checkpoint():
    """(model, clip, vae) as core's Load Checkpoint gives them."""
    import nodes

    return nodes.CheckpointLoaderSimple().load_checkpoint("small_sd15.safetensors")
