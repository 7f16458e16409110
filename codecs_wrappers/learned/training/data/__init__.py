"""What a training learns from: crops of images, cached latents, and the images held out for judging."""
