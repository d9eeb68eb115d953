-- A forecast from bars in the request.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open(os.getenv("BARS_FILE")):read("*a")
