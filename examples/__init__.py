"""Project files of real districts and of the made-up sheet of the demo (mpmjax.synthetic.make_kajan_like)."""
