"""Where orchestrators run. An executor starts one for a build and gives back a handle; ``local`` is the default."""
