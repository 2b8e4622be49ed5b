"""The networks: autoencoder, UNet, ControlNet and text encoder. Module names are those of the
original latent-diffusion code, so that keys of state dicts need no translation."""
