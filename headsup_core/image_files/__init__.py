"""Picture files: every kind that photographers have, read right, and written whole."""

from .file_kinds import PICTURE_SUFFIXES
from .listing import picture_files, pictures_in
from .picture import Picture, check_image
from .reading import MAX_PIXELS, check_is_file, decode_picture, read_picture
from .writing import FORMAT_SUFFIXES, Manner, check_format, encode_picture, picture_text, picture_text_in, write_picture

__all__ = [
    "FORMAT_SUFFIXES",
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "Manner",
    "Picture",
    "check_format",
    "check_image",
    "check_is_file",
    "decode_picture",
    "encode_picture",
    "picture_files",
    "picture_text",
    "picture_text_in",
    "pictures_in",
    "read_picture",
    "write_picture",
]
