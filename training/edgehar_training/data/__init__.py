"""From clips on disk to arrays: data sets, decoding, caches, sampling and augmentation."""
