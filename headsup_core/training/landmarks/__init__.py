"""Training the landmark net of the default face analyzer."""
