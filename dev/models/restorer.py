"""Face restoration networks that spandrel loads: RestoreFormer's layout."""

from pathlib import Path

from safetensors.torch import save_file


def restorers(models: Path) -> None:
    """facerestore_models/small_restoreformer.safetensors: paints nothing like a face"""
    from spandrel.architectures.RestoreFormer import RestoreFormer

    net = RestoreFormer(
        n_embed=16, embed_dim=32, ch=32, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1,
        attn_resolutions=(16,), resolution=512, z_channels=32, double_z=False,
    )  # fmt: skip
    weights = {key: value.contiguous() for key, value in net.state_dict().items()}
    folder = models / "facerestore_models"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "small_restoreformer.safetensors")


MAKERS = [restorers]
