"""How the embedded model is made: pictures, text encoder, autoencoder, U-Net, scores. See training/README.md."""
