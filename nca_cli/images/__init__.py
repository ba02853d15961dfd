"""Images: find them, name them, identify them, and bring them to a model's resolution.

A picture is a file or a member of an archive that is read where it lies; what comes after finding
sees no difference (`Source`). docs/images.md says what is found and how it is read.
"""

from nca_cli.images.find import Choice, find_images, sample_images, usual_images
from nca_cli.images.identity import (
    FITS,
    PREPROCESSING_VERSION,
    Source,
    image_digest,
    image_name,
)
from nca_cli.images.load import Picture, load_image
from nca_cli.images.pixels import subsampled, to_rgb, to_uint8, to_unit
from nca_cli.images.readable import MAX_PIXELS, SUFFIXES
from nca_cli.images.size import Resolution, height_width, resolution_of, size_json, size_text
