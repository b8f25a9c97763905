"""The hot loops, one public function a file; each has its definition of the same name in mpmjax.reference."""
