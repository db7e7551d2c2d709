"""Which pictures, in which order: lists of images, ImageNet's classes."""
