"""The words people type into the node search, as core hands them to the front end."""

import pytest

FOUND = {
    "two characters": ["BreakRegionalPrompt", "EnsembleCast"],
    "two people": ["BreakRegionalPrompt", "PoseControlInput"],
    "several people": ["BreakRegionalPrompt", "PoseControlInput", "EnsembleCast"],
    "character lora": ["BreakRegionalPrompt", "MultiLoraLoader", "EnsembleCast"],
    "mask by text": ["MaskFromPrompt"],
    "power lora": ["MultiLoraLoader"],
    "lora stack": ["MultiLoraLoader"],
    "face detailer": ["FaceInpaint"],
    "face swap": ["EnsembleFaceSwap"],
    "hires fix": ["EnsembleHires"],
}


@pytest.mark.parametrize("phrase", FOUND)
def test_core_tells_the_front_end_these_words(server, phrase):
    info = server.object_info()
    for node in FOUND[phrase]:
        assert phrase in [alias.lower() for alias in info[node]["search_aliases"]], node
