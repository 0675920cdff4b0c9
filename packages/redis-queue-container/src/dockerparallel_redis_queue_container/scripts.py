"""The Lua scripts of the queue: each is one atomic step in the life of a task.

Scripts, because a step moves an id and its bookkeeping together: a client, worker or connection
that dies leaves either all of a step or nothing of it. Each step may be repeated when its reply
was lost. All take the prefix of the keys as their only key (see ``keys.py``; the hash tag keeps
the others in the same slot) and use no command that Redis 6.2 lacks. Times are milliseconds of
the server's clock, so that the clocks of clients and workers do not matter.
"""

from __future__ import annotations

_PRELUDE = """
local p = KEYS[1]

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Hand an outcome to the client that waits for it; dropped where nobody can fetch it any more.
local function deliver(id, outcome, keep_s)
  local client = string.match(id, '^(.*)%.')
  if not client or redis.call('EXISTS', p .. 'client:' .. client) == 0 then return end
  local results, signal = p .. 'results:' .. client, p .. 'signal:' .. client
  redis.call('RPUSH', results, id, outcome)
  redis.call('EXPIRE', results, keep_s)
  if redis.call('EXISTS', signal) == 0 then
    redis.call('RPUSH', signal, '1')
    redis.call('EXPIRE', signal, keep_s)
  end
end

-- Put the tasks of a worker that is gone back to the front, in their order. A task that ran
-- there has used up an attempt if `blame`; with no attempt left, it fails with `died`.
local function requeue(worker, limit, keep_s, died, blame)
  local claimed = p .. 'claimed:' .. worker
  local ids = redis.call('LRANGE', claimed, 0, -1)
  for i = #ids, 1, -1 do
    local id = ids[i]
    if redis.call('HEXISTS', p .. 'payloads', id) == 1 then
      local attempts = 0
      if redis.call('HDEL', p .. 'owners', id) == 1 and blame then
        attempts = redis.call('HINCRBY', p .. 'attempts', id, 1)
      end
      if attempts >= limit then
        redis.call('HDEL', p .. 'payloads', id)
        redis.call('HDEL', p .. 'attempts', id)
        redis.call('HINCRBY', p .. 'counts', 'failed', 1)
        deliver(id, died, keep_s)
      else
        redis.call('LPUSH', p .. 'tasks', id)
        redis.call('HINCRBY', p .. 'counts', 'retried', 1)
      end
    end
  end
  redis.call('DEL', claimed)
  return #ids
end

local function reap(limit, keep_s, grace_ms, died)
  local now = now_ms()
  local moved = 0
  local dead = redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now, 'WITHSCORES')
  for i = 1, #dead, 2 do
    local worker = dead[i]
    moved = moved + requeue(worker, limit, keep_s, died, true)
    if redis.call('HDEL', p .. 'workers', worker) == 1 then
      redis.call('HINCRBY', p .. 'counts', 'died', 1)
    end
    if tonumber(dead[i + 1]) <= now - grace_ms then
      redis.call('ZREM', p .. 'leases', worker)
      redis.call('HDEL', p .. 'done', worker)
      redis.call('HDEL', p .. 'failed', worker)
    end
  end
  return moved
end
"""

SUBMIT = (
    _PRELUDE
    + """
-- client, then id and payload of each task -> 1, or 0 where the server does not know the client
if redis.call('EXISTS', p .. 'client:' .. ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV, 2 do
  if redis.call('HSETNX', p .. 'payloads', ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('RPUSH', p .. 'tasks', ARGV[i])
  end
end
return 1
"""
)

CLAIM = (
    _PRELUDE
    + """
-- worker, lease_ms, most tasks; where a task was finished also: its id, 'done' or 'failed',
-- seconds to keep the outcome, outcome
-- -> {was the finished one still ours, then id, attempts, payload of each task that is held}
local worker, lease_ms, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local claimed = p .. 'claimed:' .. worker
local reply = {0}

if ARGV[4] and redis.call('LREM', claimed, 1, ARGV[4]) == 1 then
  redis.call('HDEL', p .. 'payloads', ARGV[4])
  redis.call('HDEL', p .. 'owners', ARGV[4])
  redis.call('HDEL', p .. 'attempts', ARGV[4])
  redis.call('HINCRBY', p .. ARGV[5], worker, 1)
  redis.call('HINCRBY', p .. 'counts', ARGV[5], 1)
  deliver(ARGV[4], ARGV[7], tonumber(ARGV[6]))
  reply[1] = 1
end

-- A worker that was taken for dead and lives gets a lease again before it gets work.
local expiry = redis.call('ZSCORE', p .. 'leases', worker)
local now = now_ms()
if not expiry or tonumber(expiry) <= now then
  redis.call('ZADD', p .. 'leases', now + lease_ms, worker)
end

local function take(id)
  local payload = redis.call('HGET', p .. 'payloads', id)
  if not payload then
    redis.call('LREM', claimed, 1, id)
    return
  end
  redis.call('HSET', p .. 'owners', id, worker)
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('HGET', p .. 'attempts', id) or '0'
  reply[#reply + 1] = payload
end

-- What an earlier call, or a blocking move, left in our list comes first.
for _, id in ipairs(redis.call('LRANGE', claimed, 0, -1)) do take(id) end
-- The bound keeps the server free where very many tasks were cancelled.
for _ = 1, 1000 do
  if #reply > 3 * most then break end
  local id = redis.call('LMOVE', p .. 'tasks', claimed, 'LEFT', 'RIGHT')
  if not id then break end
  take(id)
end
return reply
"""
)

RENEW = (
    _PRELUDE
    + """
-- lease_ms, then id and description of each worker
local expiry = now_ms() + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', p .. 'leases', expiry, ARGV[i])
  redis.call('HSET', p .. 'workers', ARGV[i], ARGV[i + 1])
end
return 1
"""
)

BURY = (
    _PRELUDE
    + """
-- worker, most attempts, seconds to keep outcomes, outcome of a task given up, '1' to count it
-- The worker stays among the leases, so that what a late blocking move gives it is reaped too.
redis.call('ZADD', p .. 'leases', now_ms(), ARGV[1])
redis.call('HDEL', p .. 'workers', ARGV[1])
if ARGV[5] == '1' then redis.call('HINCRBY', p .. 'counts', 'died', 1) end
return requeue(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1')
"""
)

REAP = (
    _PRELUDE
    + """
-- most attempts, seconds to keep outcomes, grace_ms, outcome of a task given up -> tasks moved
return reap(tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
"""
)

TAKE = (
    _PRELUDE
    + """
-- client, number and last id of the results that have arrived, most results, most bytes
-- -> id, outcome, id, outcome, ...
-- The last id makes it safe to acknowledge twice.
local results, arrived = p .. 'results:' .. ARGV[1], tonumber(ARGV[2])
if arrived > 0 and redis.call('LINDEX', results, 2 * arrived - 2) == ARGV[3] then
  redis.call('LTRIM', results, 2 * arrived, -1)
end
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local reply = {}
for start = 0, 2 * most - 2, 32 do
  local part = redis.call('LRANGE', results, start, math.min(start + 31, 2 * most - 1))
  for i = 1, #part, 2 do
    reply[#reply + 1] = part[i]
    reply[#reply + 1] = part[i + 1]
    room = room - #part[i + 1]
    if room <= 0 then return reply end
  end
  if #part < 32 then break end
end
return reply
"""
)

CANCEL = (
    _PRELUDE
    + """
-- ids -> 1 for each that will never run, else 0
local reply = {}
for i, id in ipairs(ARGV) do
  reply[i] = 0
  if redis.call('HEXISTS', p .. 'owners', id) == 0
      and redis.call('HDEL', p .. 'payloads', id) == 1 then
    redis.call('HDEL', p .. 'attempts', id)
    reply[i] = 1
  end
end
return reply
"""
)

ALL_SCRIPTS = (SUBMIT, CLAIM, RENEW, BURY, REAP, TAKE, CANCEL)
