"""Where artefacts come from: digests, manifests of runs, and the chain between them."""
