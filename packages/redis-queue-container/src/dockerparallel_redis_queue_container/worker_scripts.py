"""The Lua scripts of workers and of who looks after them: claim, give back, renew, bury, reap."""

from __future__ import annotations

from dockerparallel_redis_queue_container.claim_parts import CLAIMING
from dockerparallel_redis_queue_container.fault_parts import (
    CLAIM_WHEN_FULL,
    EXPIRY,
    FULL,
    LOOK_BACK,
)
from dockerparallel_redis_queue_container.script_parts import (
    BASE,
    DELIVER,
    FORGET,
    HAND_OUT,
    REQUEUE,
)

CLAIM = (
    BASE
    + FULL
    + FORGET
    + DELIVER
    + CLAIMING
    + CLAIM_WHEN_FULL
    + """
-- worker, lease_ms, seconds to keep outcomes, how many tasks it wants, how many it believes to
-- hold, ms after which a silent worker's spare tasks are taken, us that it takes for a task (0 =
-- not known); then the record of each task that it has finished
-- -> {are these all that it holds, is it worth asking again soon, number of records dropped, their
--    ids, then id, attempts, payload of each task}
full = memory_is_full()
local worker, lease_ms, keep_s = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most, holding, stale_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local pace_us, claimed, now = tonumber(ARGV[7]), p .. 'claimed:' .. worker, now_ms()
local reply, unfinished = {0, 0, 0}, false

for _, id in ipairs(finish(worker, claimed, keep_s)) do
  reply[3] = reply[3] + 1
  reply[#reply + 1] = id
end
if ended > 0 then note_pace(pace_us) end

-- A worker that was taken for dead and lives gets a lease again before it gets work.
local expiry = redis.call('ZSCORE', p .. 'leases', worker)
if not expiry or tonumber(expiry) <= now then
  redis.call('ZADD', p .. 'leases', now + lease_ms, worker)
end
if redis.call('ZREM', p .. 'idle', worker) == 0 then redis.call('DEL', p .. 'inbox:' .. worker) end

local held = redis.call('LLEN', claimed)
if held ~= holding then
  -- A reply was lost, or others have taken what it did not begin: it is told all that it holds.
  reply[1] = 1
  add_tasks(reply, redis.call('LRANGE', claimed, 0, -1))
end
if most > 0 and (held == 0 or held == holding and not full) then
  local taken
  if full then
    taken = take_when_full(worker, claimed)
  else
    taken, unfinished = take(worker, claimed, most, held == 0, pace_us)
    if #taken == 0 and held == 0 and take_spare(now - stale_ms) then
      taken = take(worker, claimed, most, true, pace_us)
    end
  end
  held = held + #taken
  add_tasks(reply, taken)
  if held == 0 then redis.call('ZADD', p .. 'idle', now, worker) end
end
if held > 1 then
  redis.call('ZADD', p .. 'spare', now, worker)
else
  redis.call('ZREM', p .. 'spare', worker)
end
if held == 0 then
  reply[2] = unfinished and 1 or redis.call('EXISTS', p .. (full and 'tasks' or 'spare'))
end
return reply
"""
)

GIVE_BACK = (
    BASE
    + FULL
    + FORGET
    + HAND_OUT
    + """
-- worker, us that its task takes already (0 = not known), ids that it holds and has not begun, in
-- their order -> number of those given back
full = memory_is_full()
local claimed, given = p .. 'claimed:' .. ARGV[1], 0
for i = #ARGV, 3, -1 do
  if redis.call('LREM', claimed, -1, ARGV[i]) == 1 then
    redis.call('HDEL', p .. 'owners', ARGV[i])
    redis.call('LPUSH', p .. 'tasks', ARGV[i])
    given = given + 1
  end
end
if redis.call('LLEN', claimed) < 2 then redis.call('ZREM', p .. 'spare', ARGV[1]) end
note_pace(tonumber(ARGV[2]))
hand_out()
return given
"""
)

RENEW = (
    BASE
    + FULL
    + """
-- lease_ms, then id and description of each worker
full = memory_is_full()
local expiry = now_ms() + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', p .. 'leases', expiry, ARGV[i])
  redis.call('HSET', p .. 'workers', ARGV[i], ARGV[i + 1])
end
return 1
"""
)

BURY = (
    BASE
    + FULL
    + EXPIRY
    + FORGET
    + DELIVER
    + HAND_OUT
    + REQUEUE
    + """
-- worker, most attempts, seconds to keep outcomes, outcome of a task given up, '1' to count it,
-- id of the task that it ran ('' = not known, '-' = none)
full = memory_is_full()
-- The worker stays among the leases, so that what a late claim of it takes is reaped too.
redis.call('ZADD', p .. 'leases', now_ms(), ARGV[1])
redis.call('HDEL', p .. 'workers', ARGV[1])
if ARGV[5] == '1' then redis.call('HINCRBY', p .. 'counts', 'died', 1) end
local blamed = ARGV[5] == '1' and ARGV[6] or '-'
local moved = requeue(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], blamed)
hand_out()
renew_expiry(ARGV[3])
return moved
"""
)

REAP = (
    BASE
    + FULL
    + EXPIRY
    + LOOK_BACK
    + FORGET
    + DELIVER
    + HAND_OUT
    + REQUEUE
    + """
-- most attempts, seconds to keep outcomes, grace_ms, outcome of a task given up, lease_ms
-- -> tasks moved
full = memory_is_full()
local limit, keep_s, grace_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local died = ARGV[4]
local now, moved = now_ms(), 0
look_back(now, tonumber(ARGV[5]))
local dead = redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', now, 'WITHSCORES')
for i = 1, #dead, 2 do
  local worker = dead[i]
  moved = moved + requeue(worker, limit, keep_s, died, '')
  if redis.call('HDEL', p .. 'workers', worker) == 1 then
    redis.call('HINCRBY', p .. 'counts', 'died', 1)
  end
  if tonumber(dead[i + 1]) <= now - grace_ms then
    redis.call('ZREM', p .. 'leases', worker)
    redis.call('HDEL', p .. 'done', worker)
    redis.call('HDEL', p .. 'failed', worker)
  end
end
if moved > 0 then hand_out() end
renew_expiry(ARGV[2])
return moved
"""
)
