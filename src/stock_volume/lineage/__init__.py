"""Where artefacts come from: digests, run manifests, and the chain that links runs."""
