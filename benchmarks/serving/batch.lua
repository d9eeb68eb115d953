-- A thousand rows per request.
local rows = {}
for number = 1, 1000 do
  rows[number] = string.format('{"vol_moving_avg": %d, "adj_close_rolling_med": %.2f}', number * 1000, number / 4)
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"rows": [' .. table.concat(rows, ",") .. "]}"
