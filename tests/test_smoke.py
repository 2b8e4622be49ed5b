import asyncio


def test_pack_registers_its_nodes():
    import ensemble_portraits

    extension = asyncio.run(ensemble_portraits.comfy_entrypoint())
    assert isinstance(asyncio.run(extension.get_node_list()), list)
