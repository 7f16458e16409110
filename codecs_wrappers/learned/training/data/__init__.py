"""The data of a training: crops of images, cached latents, and the images held out for validation."""
