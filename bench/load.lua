-- One kind of request for wrk, told by environment variables. Bodies and addresses are made before the run.
local work = os.getenv("BENCH_WORK")
local base = os.getenv("BENCH_BASE")
local requests = {}

local function add(method, path, body)
  local headers = { ["Authorization"] = os.getenv("BENCH_TOKEN") }
  if body then headers["Content-Type"] = "application/json" end
  requests[#requests + 1] = wrk.format(method, path, headers, body)
end

local function task_path()
  -- The owner's tasks are every tenth.
  return base .. "/" .. string.format(os.getenv("BENCH_ID_FORMAT"), 10 * math.random(1, tonumber(os.getenv("BENCH_TASKS"))))
end

function init()
  math.randomseed(1)
  for i = 1, 500 do
    if work == "health" then
      requests[i] = wrk.format("GET", os.getenv("BENCH_HEALTH"))
    elseif work == "read one" then
      add("GET", task_path())
    elseif work == "create" then
      add("POST", base, (string.gsub(os.getenv("BENCH_CREATE"), "#", i)))
    elseif work == "patch" then
      add("PATCH", task_path(), i % 2 == 0 and '{"completed":true}' or '{"completed":false}')
    else
      add("GET", base .. os.getenv("BENCH_LIST"))
    end
  end
end

local turn = 0
function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
