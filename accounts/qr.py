"""Draws a QR code as a data image: it stands in its page and has no address of its own."""

import base64
import io

import qrcode
from qrcode.image.pil import PilImage


def data_image(text: str) -> str:
    """Give a PNG as a `data:` URL, with the quiet zone of four modules that scanners need (ISO/IEC 18004)."""
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, box_size=6, border=4, image_factory=PilImage)
    code.add_data(text)
    code.make(fit=True)
    picture = io.BytesIO()
    code.make_image().save(picture, format="PNG")
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
