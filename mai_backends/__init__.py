"""Everything that touches an engine or a sensor."""
