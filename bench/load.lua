-- One kind of request for wrk, told by environment variables, and made before the run.
local requests, turn = {}, 0

function init()
  local body, headers = os.getenv("BENCH_BODY"), {}
  local tasks, owners = tonumber(os.getenv("BENCH_TASKS")), tonumber(os.getenv("BENCH_OWNERS"))
  if os.getenv("BENCH_TOKEN") then headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") end
  if body then headers["Content-Type"] = "application/json" end
  math.randomseed(1)
  for i = 1, 500 do
    local id = string.format(os.getenv("BENCH_ID_FORMAT"), owners * math.random(1, tasks / owners))
    local path = string.gsub(os.getenv("BENCH_PATH"), "#", id)
    requests[i] = wrk.format(os.getenv("BENCH_METHOD"), path, headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
