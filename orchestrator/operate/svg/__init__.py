"""Pictures as SVG: pure functions from plain data to text, one module a picture.

Colours are classes of the console's sheet, so that a picture follows the theme; a picture that
leaves the page carries `standalone`'s sheet instead. Meaning is never told by colour alone.
"""
