"""What a user looks at: figures, the HTML report, QGIS styles."""
