-- A forecast of one's own bars.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open(os.getenv("BARS_FILE")):read("*a")
