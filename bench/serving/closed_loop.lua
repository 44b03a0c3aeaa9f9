-- For wrk: posts the file that the first argument names; with a second argument every request has an id of its own.
-- At the end one line of JSON says what was counted.
local number = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  if arguments[2] then
    wrk.headers["x-request-id"] = "@@@@@@@@"
    local whole = wrk.format()
    local from, to = whole:find("@@@@@@@@", 1, true)
    local before, after = whole:sub(1, from - 1), whole:sub(to + 1)
    request = function()
      number = number + 1
      return before .. string.format("%08x", number) .. after
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "bad_status": %d, "broken": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
