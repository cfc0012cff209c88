"""The photo gallery: photos come in by a form, and a subscription makes their thumbnails."""
