-- Good and bad requests in turn; the paths of bad ones never repeat.
local number = 0
local json = { ["Content-Type"] = "application/json" }
local bars = io.open(os.getenv("BARS_FILE")):read("*a")
local symbols = {}
for symbol in io.lines(os.getenv("SYMBOLS_FILE")) do
  symbols[#symbols + 1] = symbol
end

local rows, unknown = {}, {}
for key = 97, 104 do unknown[#unknown + 1] = '"' .. string.char(key) .. '":1' end
for number = 1, 5000 do rows[number] = "{" .. table.concat(unknown, ",") .. "}" end
local strange = '{"rows": [' .. table.concat(rows, ",") .. "]}"
for number = 1, 5000 do rows[number] = string.format('{"vol_moving_avg": %d, "adj_close_rolling_med": 25}', number) end
local batch = '{"rows": [' .. table.concat(rows, ",") .. "]}"

local kinds = {
  function(n) return wrk.format("GET", "/predict?vol_moving_avg=" .. n .. "&adj_close_rolling_med=25") end,
  function(n) return wrk.format("GET", "/forecast/" .. symbols[n % #symbols + 1]) end,
  function(n) return wrk.format("GET", "/predict?vol_moving_avg=-" .. n) end,
  function(n) return wrk.format("GET", "/forecast/NO" .. n) end,
  function(n) return wrk.format("GET", "/symbols?query=" .. string.char(97 + n % 26)) end,
  function(n) return wrk.format("GET", "/symbols/" .. symbols[n % #symbols + 1] .. "/history?days=" .. n % 800) end,
  function(n) return wrk.format("POST", "/predict", json, '{"vol_moving_avg": ' .. n .. ', "adj_close_rolling_med": "x"}') end,
  function(n) return wrk.format("POST", "/forecast", json, '{"symbols": ["' .. symbols[n % #symbols + 1] .. '", "NO' .. n .. '"]}') end,
  function(n) return wrk.format("POST", "/forecast", json, "{" .. n) end,
  function(n) return wrk.format("GET", "/nothing/" .. n) end,
  function(n) return wrk.format("GET", "/symbols?more=" .. n) end,
  function(n) return wrk.format("POST", "/predict", { ["Content-Type"] = "text/plain" }, "{}") end,
  function(n) return wrk.format("POST", "/predict/batch", json, n % 16 < 8 and strange or batch) end,
  function(n) return wrk.format("DELETE", "/predict") end,
  function(n) return wrk.format("GET", "/symbols/" .. symbols[n % #symbols + 1] .. "/record") end,
  function(n) return wrk.format("GET", "/forecast/%00" .. n) end,
  function(n) return wrk.format("GET", "/forecast/" .. symbols[n % #symbols + 1] .. "/open?price=" .. n % 50) end,
  function(n)
    if n % 8 == 0 then
      return wrk.format("POST", "/forecast", json, bars)
    end
    return wrk.format("GET", "/models")
  end,
}

request = function()
  number = number + 1
  return kinds[number % #kinds + 1](number)
end

server_errors, busy, refused, answered = 0, 0, 0, 0
response = function(status)
  if status == 503 then
    busy = busy + 1
  elseif status >= 500 then
    server_errors = server_errors + 1
  elseif status >= 400 then
    refused = refused + 1
  else
    answered = answered + 1
  end
end

local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function()
  for _, thread in ipairs(threads) do
    print("counted", thread:get("answered"), thread:get("refused"), thread:get("busy"), thread:get("server_errors"))
  end
end
