"""Training in slices: autoencoder, UNet, ControlNet, LoRAs."""
