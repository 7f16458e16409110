"""LPIPS of VGG16's features; see bench.metrics.lpips. AlexNet's is the one that papers mean by default."""

from bench.metrics import networks
from bench.metrics.lpips import Lpips

METRIC = Lpips("lpips_vgg", "lpips_vgg16", networks.vgg16, networks.VGG16_SMALLEST, networks.VGG16_MOST)
